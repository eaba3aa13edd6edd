/* What a policy decides, in SMTP's words: the code from the verdict, the enhanced code and the text from the reason. */
import type { Decision, ReasonCode } from '@postern/core'
import type { Reply } from '../wire/reply.ts'

export type Refused = Exclude<Decision, { readonly verdict: 'pass' }>

/** `connect`: before the greeting, so the reply also closes. `authenticate`: in answer to AUTH (RFC 4954 §6). */
export type RefusalMoment = 'connect' | 'command' | 'authenticate'

interface Words {
  /** After the class digit: the subject and detail of RFC 3463, as in `7.1`. */
  readonly status: string
  readonly text: string
  /** The reply codes of a temporary and a permanent refusal, where they are not 450 and 550. */
  readonly defer?: number
  readonly refuse?: number
}

const words: Readonly<Record<ReasonCode, Words>> = {
  listed: { status: '7.1', text: 'Access denied' },
  rate: { status: '7.0', text: 'Too many connections from your address, try again later' },
  concurrency: { status: '7.0', text: 'Too many connections at a time from your address, try again later' },
  'no-relay': { status: '7.1', text: 'Relay access denied' },
  'unknown-recipient': { status: '1.1', text: 'No such mailbox here' },
  'auth-required': { status: '7.0', text: 'Authentication required', refuse: 530 },
  'tls-required': { status: '7.0', text: 'Must issue a STARTTLS command first', refuse: 530 },
  'sender-mismatch': { status: '7.1', text: 'Sender address is not yours', refuse: 553, defer: 451 },
  size: { status: '3.4', text: 'Message too big', refuse: 552, defer: 452 },
  route: { status: '4.0', text: 'No way to this recipient', defer: 451 },
  unavailable: { status: '3.2', text: 'Not available now, try again later', defer: 451 },
  quota: { status: '2.2', text: 'Mailbox full', defer: 452, refuse: 552 },
  'dns-list': { status: '7.1', text: 'Your address is on a block list' },
  // RFC 5321 §4.1.4 wants no refusal for a name that cannot be verified: these are for names that are wrong.
  hello: { status: '7.1', text: 'Greeting refused: that is not the name of your host' },
  banned: { status: '7.0', text: 'Too many failed logins, try again later' },
  // RFC 7372 §3.3
  'sender-authentication': { status: '7.26', text: "The sender's domain does not vouch for this message" },
  content: { status: '7.1', text: 'Message refused by the content filter' },
  'health-check': { status: '7.1', text: 'A balancer speaking for itself may not send mail' },
}

/**
 * The reply for a decision that does not pass. An operator's own words and code replace the default ones; a code whose
 * class contradicts the verdict is not taken, so that a refusal can never read as an acceptance.
 */
export function decisionReply(decision: Refused, moment: RefusalMoment, hostname: string): Reply {
  const isTemporary = decision.verdict === 'defer'
  const { status, text, defer = 450, refuse = 550 } = words[decision.reason]
  const usual = {
    connect: isTemporary ? 421 : 554,
    command: isTemporary ? defer : refuse,
    authenticate: isTemporary ? 454 : 535,
  }[moment]
  const code = configuredCode(decision, isTemporary) ?? usual
  const said = decision.reply?.text ?? text
  return {
    code,
    enhanced: configuredStatus(decision, isTemporary) ?? `${isTemporary ? 4 : 5}.${status}`,
    lines: [moment === 'connect' ? `${hostname} ${said}` : said],
  }
}

function configuredStatus({ reply }: Refused, isTemporary: boolean): string | undefined {
  return reply?.enhanced?.startsWith(isTemporary ? '4.' : '5.') === true ? reply.enhanced : undefined
}

function configuredCode(decision: Refused, isTemporary: boolean): number | undefined {
  const code = decision.reply?.smtpCode
  if (code === undefined || !Number.isInteger(code)) return undefined
  return Math.floor(code / 100) === (isTemporary ? 4 : 5) ? code : undefined
}
