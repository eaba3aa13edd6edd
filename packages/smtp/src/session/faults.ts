/* What is wrong with what a client said, in SMTP's words: a reply for the client, a reason for the observer. */
import { smtpErrors, type SmtpErrorCode } from '../errors.ts'
import type { Answer, RefusalReport } from './answer.ts'

interface Fault {
  readonly code: number
  readonly enhanced: string
  readonly text: string
  readonly reason: RefusalReport['reason']
  /** What comes next cannot be trusted to be commands. */
  readonly closes?: true
}

const faults: Readonly<Record<SmtpErrorCode, Fault>> = {
  SMTP_UNKNOWN_COMMAND: { code: 500, enhanced: '5.5.2', text: 'Command unrecognized', reason: 'syntax' },
  SMTP_SEQUENCE: { code: 503, enhanced: '5.5.1', text: 'Bad sequence of commands', reason: 'sequence' },
  SMTP_LINE_LENGTH: { code: 500, enhanced: '5.5.2', text: 'Line too long', reason: 'limit' },
  SMTP_ENDLESS_LINE: { code: 421, enhanced: '4.7.0', text: 'Line too long', reason: 'limit', closes: true },
  SMTP_BARE_CR: { code: 500, enhanced: '5.5.2', text: 'Bare CR in a command', reason: 'bare-line-end' },
  SMTP_BARE_LF: { code: 500, enhanced: '5.5.2', text: 'Lines must end in CRLF', reason: 'bare-line-end' },
  SMTP_CONTROL: { code: 501, enhanced: '5.5.4', text: 'Control character in the argument', reason: 'syntax' },
  SMTP_UTF8: { code: 501, enhanced: '5.5.4', text: 'The argument is not UTF-8', reason: 'syntax' },
  SMTP_ARGUMENT_MISSING: { code: 501, enhanced: '5.5.4', text: 'An argument is missing', reason: 'syntax' },
  SMTP_ARGUMENT_UNWANTED: { code: 501, enhanced: '5.5.4', text: 'No argument is allowed', reason: 'syntax' },
  SMTP_HELLO: { code: 501, enhanced: '5.5.4', text: 'A domain or an address literal is needed', reason: 'syntax' },
  SMTP_PATH: { code: 501, enhanced: '5.5.4', text: 'A path in angle brackets is needed', reason: 'syntax' },
  SMTP_PATH_LENGTH: { code: 501, enhanced: '5.5.4', text: 'Path too long', reason: 'limit' },
  SMTP_LOCAL_PART: { code: 501, enhanced: '5.5.4', text: 'Bad local part', reason: 'syntax' },
  SMTP_DOMAIN: { code: 501, enhanced: '5.5.4', text: 'Bad domain', reason: 'syntax' },
  /** RFC 6531 §3.5: the address needs SMTPUTF8. */
  SMTP_NON_ASCII: { code: 553, enhanced: '5.6.7', text: 'Non-ASCII address without SMTPUTF8', reason: 'syntax' },
  SMTP_PARAMETER_SYNTAX: { code: 501, enhanced: '5.5.4', text: 'Bad parameter syntax', reason: 'syntax' },
  SMTP_PARAMETER_UNKNOWN: { code: 555, enhanced: '5.5.4', text: 'Parameter not recognized', reason: 'syntax' },
  SMTP_PARAMETER_VALUE: { code: 501, enhanced: '5.5.4', text: 'Bad parameter value', reason: 'syntax' },
  /** RFC 8689 §6. In the clear it is 530 5.7.4: the client could still start TLS. */
  SMTP_TLS_NOT_REQUIRABLE: {
    code: 550,
    enhanced: '5.7.30',
    text: 'REQUIRETLS support required',
    reason: 'tls-required',
  },
  SMTP_MECHANISM: { code: 504, enhanced: '5.5.4', text: 'Unrecognized authentication mechanism', reason: 'syntax' },
  SMTP_BASE64: { code: 501, enhanced: '5.5.2', text: 'Cannot decode the response', reason: 'syntax' },
  SMTP_SASL: { code: 501, enhanced: '5.5.2', text: 'Malformed response', reason: 'syntax' },
  SMTP_SASL_LENGTH: { code: 500, enhanced: '5.5.6', text: 'Authentication exchange line is too long', reason: 'limit' },
  SMTP_CHUNK: { code: 501, enhanced: '5.5.4', text: 'Bad chunk size', reason: 'syntax', closes: true },
  SMTP_ATTRIBUTE: { code: 501, enhanced: '5.5.4', text: 'Bad attribute', reason: 'syntax' },
  SMTP_PIPELINING: {
    code: 554,
    enhanced: '5.5.0',
    text: 'Pipelining is not allowed here',
    reason: 'injection',
    closes: true,
  },
  SMTP_EARLY_TALKER: {
    code: 421,
    enhanced: '4.7.0',
    text: 'Wait for the greeting',
    reason: 'early-talker',
    closes: true,
  },
  SMTP_NOT_SMTP: { code: 554, enhanced: '5.5.2', text: 'This is an SMTP server', reason: 'syntax', closes: true },
  SMTP_MESSAGE_NUL: { code: 554, enhanced: '5.6.0', text: 'The message holds a NUL', reason: 'syntax' },
  SMTP_MESSAGE_NEWLINE: {
    code: 550,
    enhanced: '5.6.11',
    text: 'Lines must end in CRLF: bare CR or LF in the message',
    reason: 'bare-line-end',
    closes: true,
  },
  SMTP_MESSAGE_SIZE: { code: 552, enhanced: '5.3.4', text: 'Message too big', reason: 'size' },
  SMTP_MESSAGE_HEADER: { code: 554, enhanced: '5.6.0', text: 'Header section too big', reason: 'limit' },
  SMTP_MESSAGE_HOPS: { code: 554, enhanced: '5.4.6', text: 'Too many hops', reason: 'limit' },
}

/** The answer to a fault. `hint` is added to its words; it must not repeat what the client said. */
export function faultAnswer(code: SmtpErrorCode, hint?: string): Answer {
  return answerTo(code, faults[code].enhanced, hint)
}

/** Faults of the path, for which RFC 3463 §3.2 has a code on the side of the sender and one on that of the recipient. */
export function pathFaultAnswer(code: SmtpErrorCode, side: 'sender' | 'recipient'): Answer {
  const { enhanced } = faults[code]
  const ofPath = side === 'sender' ? '5.1.7' : '5.1.3'
  return answerTo(code, isAboutPath.has(code) ? ofPath : enhanced)
}

const isAboutPath: ReadonlySet<SmtpErrorCode> = new Set<SmtpErrorCode>([
  'SMTP_CONTROL',
  'SMTP_UTF8',
  'SMTP_PATH',
  'SMTP_PATH_LENGTH',
  'SMTP_LOCAL_PART',
  'SMTP_DOMAIN',
])

function answerTo(code: SmtpErrorCode, enhanced: string, hint?: string): Answer {
  const fault = faults[code]
  return {
    reply: { code: fault.code, enhanced, lines: [hint === undefined ? fault.text : `${fault.text}: ${hint}`] },
    refused: { reason: fault.reason, detail: smtpErrors[code] },
    ...(fault.closes === true ? { next: { close: 'protocol' } } : {}),
  }
}
