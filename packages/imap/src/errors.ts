/**
 * What ends or refuses an IMAP session, each with a sentence for operators. The codes are stable; the sentences may be
 * improved. None of this is ever sent to a client.
 */
export const imapErrors = {
  IMAP_LINE_TOO_LONG: 'A command line, or a command with its literals, is longer than is allowed.',
  IMAP_LITERAL_TOO_BIG: 'A literal is bigger than is allowed; it was not taken.',
  IMAP_LITERAL_LOST:
    'The client sends a literal that cannot be skipped: its length is no number, or too much of it would be thrown away.',
  IMAP_TOO_MANY_BAD: 'Too many commands in a row were none: a broken client, or another protocol.',
  IMAP_TOO_MANY_LOGINS: 'Too many logins failed on one connection.',
  IMAP_CLEARTEXT_LOGIN:
    'A login was tried in the clear. What was sent may have been seen on the way, so its password should be changed.',
  IMAP_INJECTION: 'Bytes in the clear followed STARTTLS: somebody on the way put them there, or a broken client.',
  IMAP_HEALTH_CHECK: 'The connection speaks for the proxy itself; only clients may do more than look.',
  IMAP_PROXY_AGAIN:
    'A PROXY header came after the first one, or after the session began: a balancer passes on one that its client sent.',
  IMAP_CONTENT_TRUNCATED: 'A message in the store is shorter than the store said.',
} as const

/** A code of the catalogue; codes are stable. */
export type ImapErrorCode = keyof typeof imapErrors

/** Code and sentence, as observers are told. */
export function describeError(code: ImapErrorCode): string {
  return `${code}: ${imapErrors[code]}`
}

/** The store broke its promise in the middle of a response, which cannot be taken back. */
export class ContentTruncatedError extends Error {
  override readonly name = 'ContentTruncatedError'
  readonly code: ImapErrorCode = 'IMAP_CONTENT_TRUNCATED'

  constructor(missingBytes: number, offset: number) {
    super(`${missingBytes} bytes are missing at offset ${offset} of a message`)
  }
}
