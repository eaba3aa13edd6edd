/* What the results of a message's authentication and its scan come to: a refusal in SMTP's words, or changes to its header. */
import type { ReasonCode } from '@postern/core'
import type { DeliveryReply } from '@postern/smtp'
import type { AuthenticationConfig, OnFailure, ScannerConfig } from '../config/schema.ts'
import type { ScanAnswer } from './scanner.ts'
import type { VerifiedMessage } from './verify-message.ts'

/** Why a message is not taken, and what its sender is told. */
export interface Objection {
  readonly reason: ReasonCode
  readonly policy: 'authentication' | 'scanner'
  readonly reply: DeliveryReply
}

/** What could not be known, and why. */
export type Unknown = { readonly unknown: string }

/**
 * SPF and DMARC, as the operator wants failures taken. A domain's wish counts only when it is to reject (RFC 7489 section
 * 6.3); who could not be known is asked to come again where a failure would have been refused.
 */
export function objectionToSender(
  verified: VerifiedMessage | Unknown,
  { onSpfFail, onDmarcFail, trustedArcSealers }: AuthenticationConfig,
): Objection | undefined {
  const minds = onSpfFail !== 'note' || onDmarcFail !== 'note'
  if ('unknown' in verified) {
    return minds
      ? defer(
          '4.7.0',
          'Cannot verify this message now, try again later',
          `the message could not be verified: ${verified.unknown}`,
        )
      : undefined
  }
  const { spf, dmarc, dmarcPolicy, fromDomain, arcSealer } = verified
  if (spf === 'fail' && onSpfFail !== 'note') {
    const detail =
      'SPF fails: the domain of the reverse-path does not send from this client (authentication.on-spf-fail)'
    // RFC 7372 section 3.2
    return refuse(onSpfFail, '7.23', 'SPF validation failed', detail)
  }
  if (onDmarcFail === 'note') return undefined
  const isVouchedFor = arcSealer !== undefined && trustedArcSealers.includes(arcSealer)
  if (dmarc === 'fail' && dmarcPolicy === 'reject' && !isVouchedFor) {
    const detail =
      `DMARC fails, and ${fromDomain} asks to reject (authentication.on-dmarc-fail): ` +
      'a forwarder that seals (ARC) belongs in authentication.trusted-arc-sealers'
    return refuse(onDmarcFail, '7.26', `The domain ${fromDomain} does not vouch for this message (DMARC)`, detail)
  }
  if (dmarc === 'temperror') {
    return defer('4.7.0', 'Cannot verify this message now, try again later', 'the DNS did not say what DMARC asks for')
  }
  return undefined
}

function refuse(action: Exclude<OnFailure, 'note'>, status: string, text: string, detail: string): Objection {
  const isLasting = action === 'reject'
  return {
    reason: 'sender-authentication',
    policy: 'authentication',
    reply: { code: isLasting ? 550 : 450, enhanced: `${isLasting ? 5 : 4}.${status}`, lines: [text], detail },
  }
}

function defer(enhanced: string, text: string, detail: string): Objection {
  return {
    reason: 'sender-authentication',
    policy: 'authentication',
    reply: { code: 451, enhanced, lines: [text], detail },
  }
}

/** Rspamd's actions as replies. What is only marked is no objection. */
export function objectionToContent(
  answer: ScanAnswer | Unknown,
  { whenDown }: Pick<ScannerConfig, 'whenDown'>,
): Objection | undefined {
  if ('unknown' in answer) {
    return whenDown === 'accept'
      ? undefined
      : content(
          451,
          '4.7.1',
          'Message cannot be checked now, try again later',
          `no word of the scanner: ${answer.unknown}`,
        )
  }
  const told = `${answer.action}, score ${answer.score} of ${answer.requiredScore}: ${answer.symbols.join(' ')}`
  const words = answer.words === undefined ? undefined : safeWords(answer.words)
  switch (answer.action) {
    case 'reject':
      return content(550, '5.7.1', words ?? 'Message refused by the content filter', told)
    case 'soft reject':
      return content(451, '4.7.1', words ?? 'Try again later', told)
    case 'greylist':
      return content(451, '4.7.1', words ?? 'Greylisted, try again later', told)
    case 'no action':
    case 'add header':
    case 'rewrite subject':
      return undefined
  }
  return undefined
}

/** One line of printable ASCII, since it becomes a reply. */
function safeWords(words: string): string | undefined {
  const line = words
    .replaceAll(/[^ -~]+/g, ' ')
    .trim()
    .slice(0, 200)
  return line === '' ? undefined : line
}

function content(code: number, enhanced: string, text: string, detail: string): Objection {
  return { reason: 'content', policy: 'scanner', reply: { code, enhanced, lines: [text], detail } }
}
