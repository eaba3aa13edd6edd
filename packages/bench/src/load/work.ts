/*
 * What connections do, as bytes that are made once: turns of what is written and what has to be answered.
 */
import { UsageError } from '../command.ts'
import type { Login } from './target.ts'
import { type ImapOperation, type LoadMode, type LoadPlan } from './options.ts'
import { imapCode } from './replies.ts'

/** One write of the client, and the replies that end it. */
export interface Turn {
  /** Empty where the server speaks first. */
  readonly bytes: Buffer
  /**
   * One character for each reply that is awaited: the first digit of an SMTP reply, `O` for a tagged OK, `+` for a
   * continuation request, `*` for a greeting.
   */
  readonly awaits: string
  /** The handshake that comes behind the replies. */
  readonly upgrades?: true
}

/** What is counted and timed. */
export interface Operation {
  readonly turns: readonly Turn[]
}

/** A connection's life. */
export interface Work {
  /** From the greeting to readiness; of each connection the next, one at least. */
  readonly openings: readonly (readonly Turn[])[]
  /** Taken in turn; empty when a connection is all there is. */
  readonly operations: readonly Operation[]
  /** The leave that is taken; empty to close without a word. */
  readonly closing: readonly Turn[]
  /** A connection with everything in it is the operation; else connections stay open and do one after another. */
  readonly perConnection: boolean
  /** What one operation is called, in the plural. */
  readonly unit: string
  /** Three letters and a dash of it fit into the table. */
  readonly shortUnit: string
}

/** Builds the work of a plan. */
export function workOf(plan: LoadPlan): Work {
  const isImap = plan.target.protocol === 'imap'
  const opening = isImap ? imapOpening : smtpOpening
  const openings = plan.logins.length === 0 ? [opening(plan)] : plan.logins.map((login) => opening(plan, login))
  const leave = isImap ? turn('a LOGOUT\r\n', 'O') : turn('QUIT\r\n', '2')
  return modes[plan.mode](plan, openings, leave)
}

const modes: Readonly<Record<LoadMode, (plan: LoadPlan, openings: Work['openings'], leave: Turn) => Work>> = {
  connect: (_, openings) => ({
    openings: openings.map((opening) => opening.slice(0, 1)),
    operations: [],
    closing: [],
    perConnection: true,
    unit: 'connections',
    shortUnit: 'Conn',
  }),
  session({ script }) {
    const [greeting, ...turns] = scripted(script)
    return {
      openings: [[greeting!]],
      operations: turns.length === 0 ? [] : [{ turns }],
      closing: [],
      perConnection: true,
      unit: 'sessions',
      shortUnit: 'Sess',
    }
  },
  message: (plan, openings, leave) => ({
    openings,
    operations: [{ turns: messageTurns(plan) }],
    closing: [leave],
    perConnection: plan.reconnects,
    unit: 'messages',
    shortUnit: 'Msg',
  }),
  login: (_, openings, leave) => ({
    openings,
    operations: [],
    closing: [leave],
    perConnection: true,
    unit: 'logins',
    shortUnit: 'Log',
  }),
  imap: (plan, openings, leave) => ({
    openings: openings.map((opening) => [...opening, turn(`a SELECT ${quoted(plan.mailbox)}\r\n`, 'O')]),
    operations: imapOperations(plan),
    closing: [leave],
    perConnection: plan.reconnects,
    unit: 'commands',
    shortUnit: 'Cmd',
  }),
  idle({ target, mailbox, logins }, openings) {
    const isInMailbox = target.protocol === 'imap' && logins.length > 0
    const held = [turn(`a SELECT ${quoted(mailbox)}\r\n`, 'O'), turn('a IDLE\r\n', '+')]
    return {
      openings: isInMailbox ? openings.map((opening) => [...opening, ...held]) : openings,
      operations: [],
      closing: [],
      perConnection: false,
      unit: 'connections',
      shortUnit: 'Conn',
    }
  },
}

/** Whether a code is the reply that a character of `awaits` stands for. */
export function isAwaited(code: number, awaited: string): boolean {
  switch (awaited) {
    case 'O':
      return code === imapCode.ok
    case '+':
      return code === imapCode.continuation
    case '*':
      return code === imapCode.greeting
    default:
      return Math.floor(code / 100) === Number(awaited)
  }
}

function smtpOpening({ target }: LoadPlan, login?: Login): readonly Turn[] {
  const hello = turn(target.protocol === 'lmtp' ? 'LHLO client.example\r\n' : 'EHLO client.example\r\n', '2')
  const opening = [turn('', '2'), hello]
  if (target.tls === 'starttls') opening.push({ ...turn('STARTTLS\r\n', '2'), upgrades: true }, hello)
  if (login !== undefined) opening.push(turn(`AUTH PLAIN ${plain(login)}\r\n`, '2'))
  return opening
}

function imapOpening({ target }: LoadPlan, login?: Login): readonly Turn[] {
  const opening = [turn('', '*')]
  if (target.tls === 'starttls') opening.push({ ...turn('a STARTTLS\r\n', 'O'), upgrades: true })
  if (login !== undefined) opening.push(turn(`a LOGIN ${quoted(login.user)} ${quoted(login.password)}\r\n`, 'O'))
  return opening
}

/** RFC 4616. */
function plain({ user, password }: Login): string {
  return Buffer.from(`\0${user}\0${password}`).toString('base64')
}

function messageTurns(plan: LoadPlan): readonly Turn[] {
  const { sender, recipients, isPipelined, target } = plan
  const mail = `MAIL FROM:<${sender}>\r\n`
  const rcpts = recipients.map((recipient) => `RCPT TO:<${recipient}>\r\n`)
  // RFC 2033 §4.2: behind the data LMTP answers for each recipient.
  const body: Turn = {
    bytes: messageBytes(plan),
    awaits: target.protocol === 'lmtp' ? '2'.repeat(recipients.length) : '2',
  }
  // RFC 2920 §3.1: DATA may be the last of a group.
  if (isPipelined) return [turn(`${mail}${rcpts.join('')}DATA\r\n`, `2${'2'.repeat(recipients.length)}3`), body]
  return [turn(mail, '2'), ...rcpts.map((rcpt) => turn(rcpt, '2')), turn('DATA\r\n', '3'), body]
}

/** A message of exactly that many octets, header and all, in lines of 64; and the end of data behind it. */
function messageBytes({ sender, recipients, messageBytes: size }: LoadPlan): Buffer {
  const message = messageOf(size, `From: <${sender}>\r\nTo: <${recipients[0]}>\r\n`)
  return Buffer.concat([message, Buffer.from('.\r\n')])
}

/** @param fields - header fields that come first, where the size leaves room for them. */
export function messageOf(size: number, fields: string = ''): Buffer {
  const header = Buffer.from(`${fields}Subject: a message of the benchmark\r\n\r\n`)
  const message = Buffer.alloc(size, '0123456789abcdef')
  header.copy(message, 0)
  for (let at = Math.min(header.length, size) + 62; at + 2 < size; at += 64) message.write('\r\n', at, 'latin1')
  message.write('\r\n', Math.max(0, size - 2), 'latin1')
  return message
}

function imapOperations(plan: LoadPlan): readonly Operation[] {
  const { mix, messages, isPipelined } = plan
  const message = messageOf(plan.messageBytes)
  const mailbox = { selected: quoted(plan.mailbox), appended: quoted(plan.appendTo) }
  // Each message twice, for what is done and taken back; with a bound for large mailboxes.
  const repeats = Math.min(2 * messages, 1_024)
  const done = new Map<ImapOperation, number>()
  const all = Array.from({ length: repeats }, () => mix)
    .flat()
    .map((kind) => {
      const i = done.get(kind) ?? 0
      done.set(kind, i + 1)
      return { turns: imapCommands[kind]({ i, messages, mailbox, message }) }
    })
  return isPipelined ? grouped(all) : all
}

interface ImapCommandContext {
  /** Counts the commands of this kind. */
  readonly i: number
  /** How many there are in the mailbox. */
  readonly messages: number
  readonly mailbox: { readonly selected: string; readonly appended: string }
  readonly message: Buffer
}

/** A walk over all messages in steps that share no factor with most counts, so that no cache is asked for one alone. */
function walked(step: number, messages: number): number {
  return ((step * 7_919) % messages) + 1
}

const imapCommands: Readonly<Record<ImapOperation, (context: ImapCommandContext) => readonly Turn[]>> = {
  noop: () => [turn('a NOOP\r\n', 'O')],
  select: ({ mailbox }) => [turn(`a SELECT ${mailbox.selected}\r\n`, 'O')],
  'fetch-flags': () => [turn('a FETCH 1:* (FLAGS)\r\n', 'O')],
  'fetch-envelope': ({ i, messages }) => [
    turn(`a FETCH ${walked(i, messages)} (UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE)\r\n`, 'O'),
  ],
  'fetch-body': ({ i, messages }) => [turn(`a FETCH ${walked(i, messages)} (BODY.PEEK[])\r\n`, 'O')],
  // Set and at once taken back, so that each changes something, whatever the count of messages.
  store: ({ i, messages }) => [
    turn(`a STORE ${walked(Math.floor(i / 2), messages)} ${i % 2 === 0 ? '+' : '-'}FLAGS.SILENT (\\Answered)\r\n`, 'O'),
  ],
  search: () => [turn('a SEARCH UNSEEN SINCE 1-Jan-2020\r\n', 'O')],
  'search-text': () => [turn('a SEARCH SUBJECT "nowhere"\r\n', 'O')],
  append: ({ mailbox, message }) => [
    turn(`a APPEND ${mailbox.appended} {${message.length}}\r\n`, '+'),
    { bytes: Buffer.concat([message, Buffer.from('\r\n')]), awaits: 'O' },
  ],
  idle: () => [turn('a IDLE\r\n', '+'), turn('DONE\r\n', 'O')],
}

/** RFC 9051 §5.5: commands that are not ambiguous together may be sent together. Those with a continuation stay alone. */
function grouped(operations: readonly Operation[]): readonly Operation[] {
  const groupSize = 4
  const groups: Operation[] = []
  let group: Turn[] = []
  const flush = (): void => {
    if (group.length > 0) {
      const bytes = Buffer.concat(group.map((each) => each.bytes))
      groups.push({ turns: [{ bytes, awaits: group.map(({ awaits }) => awaits).join('') }] })
    }
    group = []
  }
  for (const operation of operations) {
    const [first] = operation.turns
    if (operation.turns.length > 1 || first === undefined) {
      flush()
      groups.push(operation)
    } else {
      group.push(first)
      if (group.length === groupSize) flush()
    }
  }
  flush()
  return groups
}

/**
 * Reads a dialogue: `C: ` lines are written, those in a row in one write; `S: ` lines are awaited, each a whole reply, by
 * the first digit of its code, `OK`, `+` or `*`.
 */
export function scripted(text: string): readonly Turn[] {
  const turns: Turn[] = []
  let says = ''
  let awaits = ''
  const flush = (): void => {
    if (says !== '' || awaits !== '') turns.push(turn(says, awaits))
    says = ''
    awaits = ''
  }
  for (const [i, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() === '' || line.startsWith('#')) continue
    const [, who, rest = ''] = /^([CS]): ?(.*)$/.exec(line) ?? []
    if (who === 'C') {
      if (awaits !== '') flush()
      says += `${rest}\r\n`
    } else {
      const awaited = /^(?:([2345])|(\+)|(\*)|(OK))/.exec(rest)
      if (who !== 'S' || awaited === null) {
        throw new UsageError(`line ${i + 1} of the script is neither "C: …" nor "S: " with a reply code, OK, + or *`)
      }
      awaits += awaited[4] === undefined ? awaited[0] : 'O'
    }
  }
  flush()
  if (turns[0] === undefined || turns[0].bytes.length > 0)
    throw new UsageError('a script begins with the greeting, in an "S: " line')
  return turns
}

function turn(says: string, awaits: string): Turn {
  return { bytes: Buffer.from(says), awaits }
}

/** RFC 9051 §4.3. */
function quoted(text: string): string {
  return `"${text.replace(/["\\]/g, '\\$&')}"`
}
