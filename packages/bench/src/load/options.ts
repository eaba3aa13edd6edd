import { readFileSync } from 'node:fs'
import { UsageError } from '../command.ts'
import { parseTarget, type Login, type Target } from './target.ts'

/**
 * What the load is made of:
 *
 * - `connect`: connections that are greeted and closed;
 * - `session`: connections that play a scripted dialogue;
 * - `message`: messages delivered by SMTP, LMTP or submission;
 * - `login`: IMAP connections that sign in;
 * - `imap`: commands in a mailbox that was selected;
 * - `idle`: connections that are opened and then held.
 */
export type LoadMode = 'connect' | 'session' | 'message' | 'login' | 'imap' | 'idle'

/**
 * How a connection announces its client: `v2-tlvs` has an authority, a unique id and a checksum as well, `v2-ssl` says that
 * the client speaks TLS to the balancer, as a server needs to hear before it lets anyone sign in.
 */
export type ProxyVersion = 'none' | 'v1' | 'v2' | 'v2-tlvs' | 'v2-ssl'

/** One kind of work of an IMAP session. */
export type ImapOperation =
  | 'noop'
  | 'select'
  | 'fetch-flags'
  | 'fetch-envelope'
  | 'fetch-body'
  | 'store'
  | 'search'
  | 'search-text'
  | 'append'
  | 'idle'

/** What `bench` is asked for. Units are in the names; everything but `url` has a default. */
export interface LoadOptions {
  /** `smtp://`, `lmtp://`, `submission://`, `imap://`, or with TLS from the start `smtps://`, `submissions://`, `imaps://`. */
  readonly url: string
  /** `connect` when absent. */
  readonly mode?: LoadMode
  /** Connections at a time, over all workers; 10 when absent. */
  readonly connections?: number
  /** How long it is measured, in seconds; 10 when absent. Not used with an amount. */
  readonly duration?: number
  /** Measures this many operations instead of a time. */
  readonly amount?: number
  /** The same load before it, not measured, in seconds; 0 when absent. */
  readonly warmup?: number
  /** 1, each command waits for its reply; more, those that RFC 2920 and RFC 9051 let go out together do. */
  readonly pipelining?: number
  /** Threads of the generator; 1 when absent. */
  readonly workers?: number
  /** Operations a second over all connections, started at their time whether or not the server keeps up. */
  readonly overallRate?: number
  /** Seconds that an operation may take; 10 when absent. */
  readonly timeout?: number
  /** `none` when absent. */
  readonly proxy?: ProxyVersion
  /** A network: each connection announces the next client address of it. One address when absent. */
  readonly clients?: string
  /** A network of this machine, as 127.0.0.0/8: each connection comes from the next address of it. */
  readonly from?: string
  /** Upgrades with STARTTLS before the work. */
  readonly starttls?: boolean
  readonly sender?: string
  readonly recipient?: string
  /** Recipients of a message; 1 when absent. With more, the recipient's local part gets a number. */
  readonly recipients?: number
  /** Octets of a message, header included, dot-stuffing not; 2048 when absent. */
  readonly size?: number
  /** Who signs in: with more than 1, the local part of the user's name gets a number, another for each connection. */
  readonly users?: number
  /** A connection for each message or IMAP command, instead of connections that are kept open. */
  readonly reconnect?: boolean
  /** Mode `imap`: the kinds of commands, each as often as it is named. */
  readonly mix?: readonly ImapOperation[]
  /** Mode `imap`: INBOX when absent. */
  readonly mailbox?: string
  /** Mode `imap`: where APPEND puts its messages; the mailbox that is selected when absent. */
  readonly appendTo?: string
  /** Mode `imap`: messages that are in the mailbox; 1 when absent. */
  readonly messages?: number
  /** Mode `session`: the dialogue, in lines of `C: ` and `S: `; one of the protocol when absent. */
  readonly script?: string
  /** Measures that many times, and gives the spread; 1 when absent. */
  readonly rounds?: number
  /** The process to watch, when it is not the one that listens on the port. */
  readonly pid?: number
}

/** Options with their defaults: plain data, handed to threads as it stands. */
export interface LoadPlan {
  readonly target: Target
  readonly mode: LoadMode
  readonly connections: number
  readonly durationMs: number
  readonly amount: number | undefined
  readonly warmupMs: number
  readonly isPipelined: boolean
  readonly workers: number
  readonly ratePerSecond: number | undefined
  readonly timeoutMs: number
  readonly proxy: ProxyVersion
  readonly clients: string
  readonly from: string | undefined
  readonly sender: string
  readonly recipients: readonly string[]
  readonly messageBytes: number
  /** One at least when somebody signs in. */
  readonly logins: readonly Login[]
  readonly reconnects: boolean
  readonly mix: readonly ImapOperation[]
  readonly mailbox: string
  readonly appendTo: string
  readonly messages: number
  readonly script: string
  readonly rounds: number
  readonly pid: number | undefined
}

/** Bounds of what may be asked: a benchmark is to load a server, not to use up the machine that it runs on. */
const bounds = {
  /** Descriptors: more than the common hard limit of one process. */
  maxConnections: 500_000,
  /** A day. */
  maxDurationSeconds: 86_400,
  maxAmount: 1_000_000_000,
  maxWorkers: 256,
  maxRate: 10_000_000,
  /** Held in memory once for each worker. */
  maxMessageBytes: 256 * 1024 * 1024,
  maxRecipients: 10_000,
  maxUsers: 100_000,
  maxRounds: 1_000,
} as const

const inMailbox: ReadonlySet<LoadMode> = new Set(['login', 'imap'])

/** Checks the options and completes them. Throws `UsageError`, whose message says what would have been right. */
export function planLoad(options: LoadOptions): LoadPlan {
  const target = parseTarget(options.url, options.starttls ?? false)
  const mode = options.mode ?? 'connect'
  if (inMailbox.has(mode) && target.protocol !== 'imap') throw new UsageError(`mode ${mode} needs an imap:// target`)
  if (mode === 'message' && target.protocol === 'imap')
    throw new UsageError('mode message needs a target that takes mail')
  const needsLogin = inMailbox.has(mode) || (mode === 'message' && target.protocol === 'submission')
  if (needsLogin && target.login === undefined) {
    throw new UsageError(`mode ${mode} signs in: write USER:PASSWORD@ into the URL`)
  }
  const connections = whole('connections', options.connections ?? 10, bounds.maxConnections)
  const workers = whole('workers', options.workers ?? 1, bounds.maxWorkers)
  if (workers > connections) throw new UsageError('there are more workers than connections')
  const users = whole('users', options.users ?? 1, bounds.maxUsers)
  const recipient = options.recipient ?? 'bob@example.org'
  const recipients = whole('recipients', options.recipients ?? 1, bounds.maxRecipients)
  return {
    target,
    mode,
    connections,
    durationMs: 1_000 * seconds('duration', options.duration ?? 10, bounds.maxDurationSeconds),
    amount: options.amount === undefined ? undefined : whole('amount', options.amount, bounds.maxAmount),
    warmupMs: 1_000 * (options.warmup === undefined ? 0 : seconds('warmup', options.warmup, bounds.maxDurationSeconds)),
    isPipelined: whole('pipelining', options.pipelining ?? 1, 1_000) > 1,
    workers,
    ratePerSecond:
      options.overallRate === undefined ? undefined : whole('overall rate', options.overallRate, bounds.maxRate),
    timeoutMs: 1_000 * seconds('timeout', options.timeout ?? 10, bounds.maxDurationSeconds),
    proxy: options.proxy ?? 'none',
    clients: options.clients ?? '203.0.113.7/32',
    from: options.from,
    sender: options.sender ?? 'ann@example.net',
    recipients:
      recipients === 1 ? [recipient] : Array.from({ length: recipients }, (_, i) => numbered(recipient, i + 1)),
    messageBytes: whole('size', options.size ?? 2_048, bounds.maxMessageBytes),
    logins: loginsOf(target.login, users),
    reconnects: options.reconnect ?? false,
    mix: options.mix ?? ['fetch-flags', 'fetch-envelope', 'fetch-body', 'store', 'search', 'noop'],
    mailbox: options.mailbox ?? 'INBOX',
    appendTo: options.appendTo ?? options.mailbox ?? 'INBOX',
    messages: whole('messages', options.messages ?? 1, 10_000_000),
    script: options.script ?? scripts[target.protocol],
    rounds: whole('rounds', options.rounds ?? 1, bounds.maxRounds),
    pid: options.pid,
  }
}

/** A file of the dialogue, for the command line. */
export function readScript(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    throw new UsageError(`the script cannot be read: ${(error as Error).message}`)
  }
}

const smtpScript = 'S: 220\nC: EHLO client.example\nS: 250\nC: NOOP\nS: 250\nC: QUIT\nS: 221\n'
const scripts: Readonly<Record<Target['protocol'], string>> = {
  smtp: smtpScript,
  submission: smtpScript,
  lmtp: smtpScript.replace('EHLO', 'LHLO'),
  imap: 'S: *\nC: a CAPABILITY\nS: OK\nC: a NOOP\nS: OK\nC: a LOGOUT\nS: OK\n',
}

function loginsOf(login: Login | undefined, users: number): readonly Login[] {
  if (login === undefined) return []
  if (users === 1) return [login]
  return Array.from({ length: users }, (_, i) => ({ ...login, user: numbered(login.user, i + 1) }))
}

function numbered(address: string, i: number): string {
  const at = address.lastIndexOf('@')
  return at < 0 ? `${address}${i}` : `${address.slice(0, at)}${i}${address.slice(at)}`
}

function whole(name: string, value: number, most: number): number {
  if (Number.isInteger(value) && value >= 1 && value <= most) return value
  throw new UsageError(`${name} is a whole number from 1 to ${most}, not ${value}`)
}

function seconds(name: string, value: number, most: number): number {
  if (value > 0 && value <= most) return value
  throw new UsageError(`${name} is a number of seconds, at most ${most}, not ${value}`)
}
