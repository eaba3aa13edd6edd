/* The commands that need no more than a line: RSET, NOOP, QUIT, VRFY, EXPN, HELP (RFC 5321 §4.1.1.5 to §4.1.1.10). */
import type { Awaitable } from '@postern/core'
import { cannotVerify, notImplemented, ok } from '../../wire/codes.ts'
import type { Answer } from '../answer.ts'
import { after } from '../awaitable.ts'
import type { Dialogue } from '../dialogue.ts'

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

export function vrfy(): Answer {
  return { reply: cannotVerify }
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
