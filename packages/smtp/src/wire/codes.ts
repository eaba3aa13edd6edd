/* The replies of RFC 5321 §4.2.3 that are always the same, with their enhanced codes (RFC 3463, and the IANA registry). */
import { constantReply, type Reply } from './reply.ts'

const reply = (code: number, enhanced: string, text: string): Reply => constantReply({ code, enhanced, lines: [text] })

export const ok: Reply = reply(250, '2.0.0', 'OK')
export const senderOk: Reply = reply(250, '2.1.0', 'OK')
export const readyForTls: Reply = reply(220, '2.0.0', 'Ready to start TLS')
export const authenticated: Reply = reply(235, '2.7.0', 'Authentication succeeded')
export const authenticationFailed: Reply = reply(535, '5.7.8', 'Authentication credentials invalid')
export const authenticationCancelled: Reply = reply(501, '5.7.0', 'Authentication cancelled')
export const authenticationUnavailable: Reply = reply(454, '4.7.0', 'Temporary authentication failure')
export const authenticationNeedsTls: Reply = reply(
  538,
  '5.7.11',
  'Encryption required for requested authentication mechanism',
)
export const authenticationRequired: Reply = reply(530, '5.7.0', 'Authentication required')
/** RFC 5321 §7.3: the same for every argument, so that no list of users can be made of it. */
export const cannotVerify: Reply = reply(252, '2.0.0', 'Cannot VRFY user, but will accept message and attempt delivery')
export const notImplemented: Reply = reply(502, '5.5.1', 'Command not implemented')
export const noValidRecipients: Reply = reply(554, '5.5.1', 'No valid recipients')
export const tooManyRecipients: Reply = reply(452, '4.5.3', 'Too many recipients')
export const otherRoute: Reply = reply(452, '4.5.3', 'Too many recipients, send this one separately')
export const someLacking: Reply = reply(451, '4.3.0', 'Not every recipient has the message, try again later')
export const localError: Reply = reply(451, '4.3.0', 'Local error in processing, try again later')
/** RFC 2034 §3: 3yz has no enhanced code. */
export const startMail: Reply = constantReply({ code: 354, lines: ['Start mail input; end with <CRLF>.<CRLF>'] })
