/* The commands that need no more than a line: RSET, NOOP, QUIT, VRFY, EXPN, HELP (RFC 5321 §4.1.1.5 to §4.1.1.10). */
import type { Awaitable } from '@postern/core'
import { cannotVerify, notImplemented, ok } from '../../wire/codes.ts'
import type { Answer } from '../answer.ts'
import { after } from '../awaitable.ts'
import type { Dialogue } from '../dialogue.ts'
import { faultAnswer } from '../faults.ts'

const nonAscii = /[^\0-\x7f]/
const done: Answer = { reply: ok }

export function rset(dialogue: Dialogue): Awaitable<Answer> {
  return after(dialogue.endTransaction(), () => done)
}

export function noop(): Answer {
  return done
}

export function quit({ options }: Dialogue): Answer {
  return {
    reply: { code: 221, enhanced: '2.0.0', lines: [`${options.hostname} closing connection`] },
    next: { close: 'quit' },
  }
}

/**
 * RFC 6531 §3.7.4.2: "VRFY" SP String [SP "SMTPUTF8"] CRLF. The reply has no address in it, so it is the same with and
 * without; but an address that only SMTPUTF8 allows needs it here as in RCPT.
 */
export function vrfy(_: Dialogue, argument: string): Answer {
  return needsSmtpUtf8(argument) ? faultAnswer('SMTP_NON_ASCII') : { reply: cannotVerify }
}

function needsSmtpUtf8(argument: string): boolean {
  return nonAscii.test(argument) && !/ SMTPUTF8$/i.test(argument)
}

export function expn(): Answer {
  return { reply: notImplemented }
}

export function help({ isLmtp }: Dialogue): Answer {
  const greetings = isLmtp ? 'LHLO' : 'EHLO HELO'
  return {
    reply: {
      code: 214,
      enhanced: '2.0.0',
      lines: [`${greetings} MAIL RCPT DATA BDAT RSET NOOP QUIT VRFY EXPN HELP AUTH STARTTLS`, 'See RFC 5321'],
    },
  }
}
