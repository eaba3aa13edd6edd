/**
 * What can be wrong with what a client says, each with a sentence for operators. The codes are stable; the sentences
 * may be improved. None of this is ever sent to a client: `session/faults.ts` has the replies.
 */
export const smtpErrors = {
  SMTP_UNKNOWN_COMMAND: 'The verb is none that this server knows.',
  SMTP_SEQUENCE: 'The command may not come at this point of the session.',
  SMTP_LINE_LENGTH: 'The line is longer than is allowed.',
  SMTP_ENDLESS_LINE: 'The line went on and on without an end.',
  SMTP_BARE_CR: 'The command line holds a CR that is not part of its CRLF.',
  SMTP_BARE_LF: 'The command line is ended by LF alone.',
  SMTP_CONTROL: 'The command line holds a control character.',
  SMTP_UTF8: 'The command line holds bytes that are no UTF-8.',
  SMTP_ARGUMENT_MISSING: 'The command needs an argument.',
  SMTP_ARGUMENT_UNWANTED: 'The command takes no argument.',
  SMTP_HELLO: 'The argument of EHLO or HELO is no domain and no address literal.',
  SMTP_PATH: 'The argument of MAIL or RCPT is no path in angle brackets.',
  SMTP_PATH_LENGTH: 'The path, its local part or its domain is longer than is allowed.',
  SMTP_LOCAL_PART: 'The local part is neither atoms with dots nor a quoted string.',
  SMTP_DOMAIN: 'The domain of the address is neither a domain name nor an address literal.',
  SMTP_NON_ASCII: 'The address is not ASCII, and SMTPUTF8 was not asked for.',
  SMTP_PARAMETER_SYNTAX: 'A parameter of MAIL or RCPT is malformed, or given twice.',
  SMTP_PARAMETER_UNKNOWN: 'A parameter of MAIL or RCPT belongs to no extension that was offered.',
  SMTP_PARAMETER_VALUE: 'A parameter of MAIL or RCPT has a value that its extension forbids.',
  SMTP_TLS_NOT_REQUIRABLE: 'The client asks for TLS all the way, and that cannot be promised here.',
  SMTP_MECHANISM: 'The SASL mechanism is none that was offered.',
  SMTP_BASE64: 'The answer to a SASL challenge is not base64.',
  SMTP_SASL: 'The answer to a SASL challenge is not what its mechanism asks for.',
  SMTP_SASL_LENGTH: 'The answer to a SASL challenge is longer than is allowed.',
  SMTP_CHUNK: 'The size of a chunk cannot be read, so what follows cannot be told from commands.',
  SMTP_ATTRIBUTE: 'An attribute of XCLIENT or XFORWARD is unknown, malformed, or given twice.',
  SMTP_PIPELINING: 'Bytes came behind DATA or STARTTLS, where the client must wait: an injection, or a broken client.',
  SMTP_EARLY_TALKER: 'The client spoke before it was greeted, as programs do that only write and never read.',
  SMTP_NOT_SMTP: 'The client speaks another protocol: TLS in the clear, HTTP, or SSH.',
  SMTP_MESSAGE_NUL: 'The message holds a NUL.',
  SMTP_MESSAGE_NEWLINE: 'The message holds a CR or LF that is not part of a CRLF.',
  SMTP_MESSAGE_SIZE: 'The message is bigger than is allowed.',
  SMTP_MESSAGE_HEADER: 'The header section of the message is bigger than is allowed.',
  SMTP_MESSAGE_HOPS: 'The message has too many Received fields: it goes round in a loop.',
} as const

/** A code of the catalogue; codes are stable. */
export type SmtpErrorCode = keyof typeof smtpErrors

/**
 * How a backend can fail a relay, each with a sentence for operators. `client/failures.ts` has what our client is told:
 * always 4yz, since none of this is the client's fault.
 */
export const upstreamErrors = {
  SMTP_UPSTREAM_UNREACHABLE: 'No connection to the backend could be opened.',
  SMTP_UPSTREAM_TLS: 'TLS is required towards the backend, and could not be had.',
  SMTP_UPSTREAM_INJECTION: 'The backend sent bytes behind its 220 to STARTTLS: somebody may be on the line.',
  SMTP_UPSTREAM_UNAVAILABLE: 'The backend says that it takes no mail now.',
  SMTP_UPSTREAM_REFUSES_US: 'The backend refused EHLO, XCLIENT or XFORWARD, or does not offer what must be announced.',
  SMTP_UPSTREAM_AUTHENTICATION: 'The backend wants a sign-in, or refused ours.',
  SMTP_UPSTREAM_REPLY: 'The backend sent something that is no reply, or none to what was asked.',
  SMTP_UPSTREAM_STRAY_REPLY: 'The backend sent a reply to nothing: question and reply can no longer be paired.',
  SMTP_UPSTREAM_EARLY_ACCEPTANCE: 'The backend accepted a message before its end was sent.',
  SMTP_UPSTREAM_EARLY_REFUSAL: 'The backend refused a message before its end was sent.',
  SMTP_UPSTREAM_LOST: 'The connection to the backend was lost before the end of the message was sent.',
  SMTP_UPSTREAM_TIMEOUT: 'The backend did not reply in time.',
  SMTP_UPSTREAM_STALLED: 'The backend stopped to read in the middle of a message.',
  SMTP_UPSTREAM_IN_DOUBT: 'The end of the message was sent, and the reply is lost: the backend may have the message.',
} as const

/** A code of `upstreamErrors`. */
export type UpstreamErrorCode = keyof typeof upstreamErrors

/** What a parser of this package answers. */
export type Parsed<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly code: SmtpErrorCode }

export const parsed = <T>(value: T): Parsed<T> => ({ ok: true, value })

export const malformed = (code: SmtpErrorCode): { readonly ok: false; readonly code: SmtpErrorCode } => ({
  ok: false,
  code,
})
