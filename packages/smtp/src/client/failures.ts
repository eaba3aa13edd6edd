/* What becomes of our client's command when a backend fails. What a backend refuses is not here: it is passed on. */
import { upstreamErrors, type UpstreamErrorCode } from '../errors.ts'
import type { DeliveryReply } from '../session/destination.ts'
import type { Reply } from '../wire/reply.ts'

/** A backend did not do its part. */
export interface UpstreamFailure {
  readonly code: UpstreamErrorCode
  /** What was seen, escaped: for the operator. */
  readonly detail: string
  /** What the backend said, where that is the failure. */
  readonly reply?: Reply
}

/** What came of a command. */
export type Answer =
  | { readonly ok: true; readonly reply: Reply }
  | { readonly ok: false; readonly failure: UpstreamFailure }

export function failed(code: UpstreamErrorCode, detail: string, reply?: Reply): Extract<Answer, { ok: false }> {
  return { ok: false, failure: reply === undefined ? { code, detail } : { code, detail, reply } }
}

/**
 * Always temporary: a backend that is broken, badly configured or attacked says nothing about the message, and a client
 * that keeps it loses nothing. The text tells no stranger how we are built.
 */
const replies: Readonly<Record<UpstreamErrorCode, readonly [code: number, enhanced: string, text: string]>> = {
  SMTP_UPSTREAM_UNREACHABLE: [451, '4.4.1', 'The server for this recipient does not answer, try again later'],
  SMTP_UPSTREAM_TLS: [451, '4.7.5', 'No secure way to the server for this recipient, try again later'],
  SMTP_UPSTREAM_INJECTION: [451, '4.7.0', 'No secure way to the server for this recipient, try again later'],
  SMTP_UPSTREAM_UNAVAILABLE: [451, '4.3.2', 'The server for this recipient takes no mail now, try again later'],
  SMTP_UPSTREAM_REFUSES_US: [451, '4.3.5', 'Local configuration error, try again later'],
  SMTP_UPSTREAM_AUTHENTICATION: [451, '4.7.0', 'Local configuration error, try again later'],
  SMTP_UPSTREAM_REPLY: [451, '4.5.0', 'The server for this recipient is not understood, try again later'],
  SMTP_UPSTREAM_STRAY_REPLY: [451, '4.5.0', 'The server for this recipient is not understood, try again later'],
  SMTP_UPSTREAM_EARLY_ACCEPTANCE: [451, '4.5.0', 'The server for this recipient is not understood, try again later'],
  /** Only where its reply cannot be passed on. */
  SMTP_UPSTREAM_EARLY_REFUSAL: [451, '4.5.0', 'The server for this recipient is not understood, try again later'],
  SMTP_UPSTREAM_LOST: [451, '4.4.2', 'The server for this recipient hung up, try again later'],
  SMTP_UPSTREAM_TIMEOUT: [451, '4.4.2', 'The server for this recipient does not answer, try again later'],
  SMTP_UPSTREAM_STALLED: [451, '4.4.5', 'The server for this recipient is too slow now, try again later'],
  /** RFC 1047: a message that comes twice is the lesser evil. */
  SMTP_UPSTREAM_IN_DOUBT: [451, '4.4.2', 'The server for this recipient hung up, try again later'],
}

/** What our client is told of a failure. */
export function failureReply({ code, detail, reply }: UpstreamFailure): DeliveryReply {
  const told = `${upstreamErrors[code]} ${detail}`
  // A backend that has seen enough of a message to refuse it has refused it.
  if (code === 'SMTP_UPSTREAM_EARLY_REFUSAL' && reply !== undefined) return { ...reply, detail: told }
  const [number, enhanced, text] = replies[code]
  return { code: number, enhanced, lines: [text], detail: told }
}

/** What a backend said, on one line, for the operator. */
export function sayOf({ code, enhanced, lines }: Reply): string {
  return [code, enhanced, ...lines].filter((word) => word !== undefined && word !== '').join(' ')
}
