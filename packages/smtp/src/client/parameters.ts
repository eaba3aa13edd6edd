/* What MAIL says of a message beside its reverse-path, and whether a backend can take such a message at all. */
import type { Envelope } from '@postern/core'
import type { Reply } from '../wire/reply.ts'
import { maxSizeOf, type Capabilities } from './capabilities.ts'

export type MailParameters =
  | { readonly ok: true; readonly text: string }
  /** The message cannot go there as it is, and nothing is converted on the way: that would break its signatures. */
  | { readonly ok: false; readonly reply: Reply }

const refuse = (code: number, enhanced: string, text: string): MailParameters => ({
  ok: false,
  reply: { code, enhanced, lines: [text] },
})

export function decideMailParameters(envelope: Envelope, capabilities: Capabilities): MailParameters {
  const { body, declaredBytes, isSmtpUtf8 } = envelope
  if (declaredBytes !== undefined && declaredBytes > maxSizeOf(capabilities)) {
    return refuse(552, '5.3.4', 'Message too big for the server of this recipient')
  }
  if (body === '8BITMIME' && !capabilities.has('8BITMIME')) {
    return refuse(550, '5.6.3', 'The server of this recipient takes no 8-bit message')
  }
  if (body === 'BINARYMIME' && !(capabilities.has('BINARYMIME') && capabilities.has('CHUNKING'))) {
    return refuse(550, '5.6.3', 'The server of this recipient takes no binary message')
  }
  if (isSmtpUtf8 && !capabilities.has('SMTPUTF8')) {
    return refuse(550, '5.6.7', 'The server of this recipient takes no internationalized mail')
  }
  const words = [
    declaredBytes !== undefined && capabilities.has('SIZE') ? `SIZE=${declaredBytes}` : '', // RFC 1870 §6
    body === '7BIT' ? '' : `BODY=${body}`, // RFC 6152 §3, RFC 3030 §3
    isSmtpUtf8 ? 'SMTPUTF8' : '', // RFC 6531 §3.4
  ]
  return { ok: true, text: words.map((word) => (word === '' ? '' : ` ${word}`)).join('') }
}
