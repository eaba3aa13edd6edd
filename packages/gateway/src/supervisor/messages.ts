/*
 * Every message between the supervisor and a worker. Plain data that survives JSON. What a worker must know comes in
 * `start`, and never by arguments or environment, which other users of the machine can read.
 */
import type { LiveConfig, StartConfig } from '../config/schema.ts'
import type { OpenConnection } from '../observe/connection-log.ts'
import type { CountChange } from '../observe/counts.ts'
import type { IncidentNews } from '../observe/incidents.ts'
import type { BackendState } from '../upstream/backend-group.ts'
import type { FailureOf } from '../policy/bans.ts'
import type { LoginNews } from '../policy/login-guard.ts'
import type { Meter } from '../policy/meters.ts'
import type { TallyAttempt, TallyVerdict } from '../policy/tally.ts'

export interface InheritedListener {
  /** Its name, a key of the configured listeners. */
  readonly listener: string
  readonly fd: number
}

export interface WorkerStart {
  readonly type: 'start'
  readonly slot: number
  /** Counts the workers of this supervisor, from 1. */
  readonly serial: number
  readonly config: { readonly start: StartConfig; readonly live: LiveConfig }
  readonly listeners: readonly InheritedListener[]
  /** 48 bytes in base64, the same for all workers: a TLS session begun with one is resumed with another. */
  readonly ticketKeys: string
  /** Every backend that is looked at. */
  readonly backends: readonly BackendState[]
  readonly logins: LoginNews
}

/** A worker changed these mailboxes: the others look at them. A hint that is lost only delays. */
export interface MailboxesChanged {
  readonly type: 'mailboxes-changed'
  readonly mailboxes: readonly (readonly [account: string, mailbox: string])[]
}

/** How a worker ends: `retire` lets sessions end in their own time, `stop` asks them to finish. */
export type DrainManner = 'retire' | 'stop'

/** `ask` numbers the question within its worker. */
export type TallyAsk = readonly [ask: number, client: string, attempt: TallyAttempt]

/** What the supervisor knows of backends; at the start of a worker of all, later of those that changed. */
export interface BackendNews {
  readonly type: 'backends'
  readonly states: readonly BackendState[]
}

/** What a worker counted of a client itself, and the supervisor counts from now on: see `TallyCount`. */
export type TallyTold = readonly [client: string, recent: number, endsInMs: number, open: number]

/** How a worker's process is; measured over the last second. */
export interface WorkerVitals {
  /** At its 99th percentile. */
  readonly eventLoopDelayMs: number
  /** From 0 to 1. */
  readonly eventLoopUtilization: number
  readonly residentBytes: number
  readonly passwordChecksWaiting: number
  /** For a thread that looks at their sender. */
  readonly messagesWaiting: number
  /** By listener. */
  readonly open: Readonly<Record<string, number>>
}

/** What was counted since the last such message, and how the worker is. */
export interface WorkerNews {
  readonly type: 'news'
  readonly counts: readonly CountChange[]
  readonly vitals: WorkerVitals
  /** Absent when nothing came up. */
  readonly incidents?: IncidentNews
}

/** Connections whose description has `matching` in it, and the clients with the most of all. */
export interface SessionsQuestion {
  readonly type: 'sessions'
  readonly ask: number
  /** Lower case; empty for all. */
  readonly matching: string
  /** Names of users are told and searched. */
  readonly withUsers: boolean
}

export interface SessionsAnswer {
  readonly type: 'sessions'
  readonly ask: number
  /** How many match. */
  readonly matches: number
  /** The newest of them, bounded. */
  readonly sessions: readonly OpenConnection[]
  readonly topClients: readonly (readonly [client: string, connections: number])[]
}

/** What the machine's tally is told and asked, and clients whose connections ended, gathered over one turn of the event loop. */
export interface TallyAsked {
  readonly told: readonly TallyTold[]
  readonly asks: readonly TallyAsk[]
  readonly closed: readonly string[]
}

/** What the machine's tally answers a worker. */
export interface TallyAnswered {
  readonly verdicts: readonly (readonly [ask: number, verdict: TallyVerdict])[]
  /** Clients that the supervisor counts from now on: each worker answers with what it counted itself. */
  readonly recalled: readonly string[]
  /** Clients that the supervisor counts no longer. */
  readonly forgotten: readonly string[]
}

export type ToWorker =
  | WorkerStart
  | { readonly type: 'drain'; readonly manner: DrainManner; readonly withinMs: number }
  /** Balancers are to turn to others: their checks fail. */
  | { readonly type: 'leave' }
  | { readonly type: 'ticket-keys'; readonly ticketKeys: string }
  | MailboxesChanged
  | BackendNews
  | SessionsQuestion
  | ({ readonly type: 'tally'; readonly meter: Meter } & TallyAnswered)
  /** Who is banned from now on, and from where users signed in. */
  | ({ readonly type: 'logins' } & LoginNews)

export type ToSupervisor =
  /** All listeners accept. */
  | { readonly type: 'ready' }
  /** The event loop turns. Sent by the clock, so that a loop that hangs falls silent. */
  | { readonly type: 'alive'; readonly connections: number }
  | MailboxesChanged
  /** This worker could not speak with a backend. */
  | { readonly type: 'backend-failed'; readonly upstream: string; readonly backend: string }
  | WorkerNews
  | SessionsAnswer
  | ({ readonly type: 'tally'; readonly meter: Meter } & TallyAsked)
  /** A password was wrong. Without `user` it is not counted against the user: see `KnownClients`. */
  | { readonly type: 'login-failed'; readonly client: string; readonly user?: string }
  /** A user signed in from where that one had not yet. */
  | { readonly type: 'login-known'; readonly pair: string }
  /** By what all machines counted together, here or there somebody was banned, for so many milliseconds from now. */
  | { readonly type: 'login-ban'; readonly of: FailureOf; readonly key: string; readonly forMs: number }

/** What concerns the supervisor beyond the life of the process that sent it. */
export type FromReadyWorker = Exclude<ToSupervisor, { readonly type: 'ready' | 'alive' }>
