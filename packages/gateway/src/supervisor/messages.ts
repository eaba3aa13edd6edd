/*
 * Every message between the supervisor and a worker. Plain data that survives JSON. What a worker must know comes in
 * `start`, and never by arguments or environment, which other users of the machine can read.
 */
import type { LiveConfig, StartConfig } from '../config/schema.ts'
import type { BackendState } from '../upstream/backend-group.ts'
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

export type ToWorker =
  | WorkerStart
  | { readonly type: 'drain'; readonly manner: DrainManner; readonly withinMs: number }
  | { readonly type: 'ticket-keys'; readonly ticketKeys: string }
  | MailboxesChanged
  | BackendNews
  | {
      readonly type: 'tally'
      readonly verdicts: readonly (readonly [ask: number, verdict: TallyVerdict])[]
      /** Clients that the supervisor counts from now on: each worker answers with what it counted itself. */
      readonly recalled: readonly string[]
      /** Clients that the supervisor counts no longer. */
      readonly forgotten: readonly string[]
    }

export type ToSupervisor =
  /** All listeners accept. */
  | { readonly type: 'ready' }
  /** The event loop turns. Sent by the clock, so that a loop that hangs falls silent. */
  | { readonly type: 'alive'; readonly connections: number }
  | MailboxesChanged
  /** This worker could not speak with a backend. */
  | { readonly type: 'backend-failed'; readonly upstream: string; readonly backend: string }
  /** What the machine's tally is told and asked, and clients whose connections ended, gathered over one turn of the event loop. */
  | {
      readonly type: 'tally'
      readonly told: readonly TallyTold[]
      readonly asks: readonly TallyAsk[]
      readonly closed: readonly string[]
    }

/** What concerns the supervisor beyond the life of the process that sent it. */
export type FromReadyWorker = Exclude<ToSupervisor, { readonly type: 'ready' | 'alive' }>
