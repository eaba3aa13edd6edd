import type { Awaitable } from '@postern/core'
import type { Answer } from './answer.ts'
import { auth } from './commands/auth.ts'
import { bdat } from './commands/bdat.ts'
import { data } from './commands/data.ts'
import { ehlo, helo, lhlo } from './commands/hello.ts'
import { mail } from './commands/mail.ts'
import { rcpt } from './commands/rcpt.ts'
import { expn, help, noop, quit, rset, vrfy } from './commands/simple.ts'
import { startTls } from './commands/starttls.ts'
import { xclient, xforward } from './commands/xclient.ts'
import type { Dialogue, State } from './dialogue.ts'
import type { SmtpMode } from './options.ts'

export interface Command {
  /** The states in which it may come; in others it is 503. */
  readonly in: readonly State[]
  readonly run: (dialogue: Dialogue, argument: string) => Awaitable<Answer>
  readonly takes: 'argument' | 'nothing' | 'anything'
  /** What the client must not send more behind it: the bytes would be read as something else than it means. */
  readonly endsPipeline?: true
  /** Moves no mail: a client that only says this is sent away. */
  readonly isIdle?: true
  /** Not in the clear, where the listener wants TLS first (RFC 3207 §4). A front end may still say whom it speaks for. */
  readonly waitsForTls?: true
  /** A balancer that speaks for itself may not say it. */
  readonly isForClients?: true
}

const always: readonly State[] = ['greeted', 'ready', 'mail', 'rcpt', 'chunks']
const betweenMessages: readonly State[] = ['greeted', 'ready', 'mail', 'rcpt']

/** The commands of a listener. */
export function commandsOf(mode: SmtpMode): ReadonlyMap<string, Command> {
  return mode === 'lmtp' ? lmtp : smtp
}

/**
 * RFC 5321 §4.1.4, the order of commands. A verb not listed is 500; listed but not in this state is 503.
 *
 * RFC 2920 §3.1 and the extensions name more commands that end a group: EHLO, VRFY, EXPN, NOOP, QUIT, AUTH. There, what
 * comes behind is still commands, and is answered in order. Behind DATA it would be a message, and behind STARTTLS a
 * handshake.
 */
const smtp: ReadonlyMap<string, Command> = new Map<string, Command>([
  ['EHLO', { in: always, takes: 'argument', run: ehlo, isIdle: true }],
  ['HELO', { in: always, takes: 'argument', run: helo, isIdle: true }],
  ['MAIL', { in: ['ready'], takes: 'argument', run: mail, isForClients: true, waitsForTls: true }],
  ['RCPT', { in: ['mail', 'rcpt'], takes: 'argument', run: rcpt, waitsForTls: true }],
  ['DATA', { in: betweenMessages, takes: 'nothing', run: data, endsPipeline: true, waitsForTls: true }],
  // Whatever is wrong with it, its chunk must be read over.
  ['BDAT', { in: always, takes: 'anything', run: bdat }],
  ['RSET', { in: always, takes: 'nothing', run: rset, isIdle: true, waitsForTls: true }],
  ['NOOP', { in: always, takes: 'anything', run: noop, isIdle: true }],
  ['QUIT', { in: always, takes: 'nothing', run: quit }],
  ['VRFY', { in: always, takes: 'argument', run: vrfy, isIdle: true, waitsForTls: true }],
  ['EXPN', { in: always, takes: 'argument', run: expn, isIdle: true, waitsForTls: true }],
  ['HELP', { in: always, takes: 'anything', run: help, isIdle: true, waitsForTls: true }],
  ['AUTH', { in: ['ready'], takes: 'argument', run: auth, isForClients: true, waitsForTls: true }],
  ['STARTTLS', { in: ['greeted', 'ready'], takes: 'nothing', run: startTls, endsPipeline: true, isForClients: true }],
  // What came behind it was sent in the name of another client.
  ['XCLIENT', { in: ['greeted', 'ready'], takes: 'argument', run: xclient, endsPipeline: true, isForClients: true }],
  [
    'XFORWARD',
    { in: ['ready'], takes: 'argument', run: xforward, isIdle: true, isForClients: true, waitsForTls: true },
  ],
])

/** RFC 2033 §4.1: LHLO takes the place of EHLO and HELO, which are unknown. */
const lmtp: ReadonlyMap<string, Command> = new Map<string, Command>([
  ['LHLO', { in: always, takes: 'argument', run: lhlo, isIdle: true }],
  ...[...smtp].filter(([verb]) => verb !== 'EHLO' && verb !== 'HELO'),
])
