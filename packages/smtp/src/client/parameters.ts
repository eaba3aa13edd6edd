/* What MAIL and RCPT say beside the paths, and whether a backend can take such a message at all. */
import type { Envelope, RecipientDsnRequest } from '@postern/core'
import type { Reply } from '../wire/reply.ts'
import { maxSizeOf, type Capabilities } from './capabilities.ts'

export type ParameterWords =
  | { readonly ok: true; readonly text: string }
  /** The message cannot go there as it is, and nothing is converted on the way: that would break its signatures. */
  | { readonly ok: false; readonly reply: Reply }

const refuse = (code: number, enhanced: string, text: string): ParameterWords => ({
  ok: false,
  reply: { code, enhanced, lines: [text] },
})

/** What must be known beside what the backend offers. */
export interface Way {
  /** The backend proved its name in the TLS handshake (RFC 8689 §4.2.1). */
  readonly isVerified: boolean
  /** Verdicts for each recipient are wanted, and the backend gives them only when asked: PRDR. */
  readonly asksForEach: boolean
}

export function decideMailParameters(envelope: Envelope, capabilities: Capabilities, way: Way): ParameterWords {
  const { body, declaredBytes, isSmtpUtf8, dsn, requiresTls = false } = envelope
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
  if (requiresTls && !(capabilities.has('REQUIRETLS') && way.isVerified)) {
    return refuse(550, '5.7.30', 'REQUIRETLS support required')
  }
  const reports = capabilities.has('DSN') ? dsn : undefined
  const words = [
    declaredBytes !== undefined && capabilities.has('SIZE') ? `SIZE=${declaredBytes}` : '', // RFC 1870 §6
    body === '7BIT' ? '' : `BODY=${body}`, // RFC 6152 §3, RFC 3030 §3
    isSmtpUtf8 ? 'SMTPUTF8' : '', // RFC 6531 §3.4
    reports?.returns === undefined ? '' : `RET=${reports.returns}`, // RFC 3461 §4.3
    reports?.envelopeId === undefined ? '' : `ENVID=${reports.envelopeId}`, // RFC 3461 §4.4
    requiresTls ? 'REQUIRETLS' : '', // RFC 8689 §2
    way.asksForEach ? 'PRDR' : '',
  ]
  return { ok: true, text: spaced(words) }
}

/**
 * RFC 3461 §5.2.2: ORCPT may be lost on the way to a server without DSN. NOTIFY may not: nobody would report, or
 * somebody would who was asked not to.
 */
export function decideRecipientParameters(
  dsn: RecipientDsnRequest | undefined,
  capabilities: Capabilities,
): ParameterWords {
  if (dsn === undefined) return { ok: true, text: '' }
  const { notify, originalRecipient } = dsn
  if (!capabilities.has('DSN')) {
    return notify === undefined
      ? { ok: true, text: '' }
      : refuse(451, '4.3.3', 'The server of this recipient does not report on deliveries now')
  }
  return {
    ok: true,
    text: spaced([
      notify === undefined ? '' : `NOTIFY=${notify.join(',')}`, // RFC 3461 §4.1
      originalRecipient === undefined ? '' : `ORCPT=${originalRecipient}`, // RFC 3461 §4.2
    ]),
  }
}

function spaced(words: readonly string[]): string {
  return words.map((word) => (word === '' ? '' : ` ${word}`)).join('')
}
