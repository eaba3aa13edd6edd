/*
 * The pump: one connection, one session machine, one timer. It is the only code that sees both a stream and a session.
 *
 *   stream ──data──▶ machine.receive ──▶ output ──one write──▶ stream
 *                          └─▶ wish: read (with a deadline) | upgrade-tls | compress | splice | close
 *
 * Calls of the machine never overlap, and a session that comes late in a busy turn of the event loop waits for a later
 * one. While one waits (for a disk, an upstream, a slow reader) the stream is paused, so
 * the kernel's window slows the client: memory is one read and one step's output, whatever the client does.
 */
import type { Duplex } from 'node:stream'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Awaitable } from '../contracts/awaitable.ts'
import type { Connection, ConnectionInfo } from '../contracts/connection.ts'
import type { CloseReason, SessionContext, SessionMachine, Splice, Wish } from '../contracts/session.ts'
import { limits } from '../limits.ts'
import { Deadline } from './deadline.ts'
import { deflated } from './deflated.ts'
import { ConnectionLostError, Outbox } from './outbox.ts'
import { Spliced } from './spliced.ts'
import { throwAway } from './throw-away.ts'
import { longWork, turns } from './turns.ts'

/** What a pump can do for a session beside moving bytes. */
export interface PumpOptions {
  /**
   * Takes over the spent connection's stream at once, before its first `await`, and resolves when the handshake is
   * done. Rejects when it fails or takes too long.
   */
  readonly upgradeTls?: (spent: Connection) => Promise<Connection>
  /** How long the whole session may take, in milliseconds. Without it a session that moves goes on. */
  readonly maxSessionMs?: number
}

/** How a session ended. */
export interface SessionEnd {
  readonly reason: CloseReason
  /** Bytes of the protocol in each direction, inside TLS. */
  readonly bytesIn: number
  readonly bytesOut: number
  /** The connection as it was last: after STARTTLS, the secured one. */
  readonly connection: ConnectionInfo
  /** What was thrown, for `internal-error`, `tls-failed` and `connection-lost`. */
  readonly error?: unknown
}

/** A session under way. */
export interface RunningSession {
  readonly ended: Promise<SessionEnd>
  /** The worker drains: lets the session say goodbye, now or when what is under way is done. */
  stop(): void
  /** The time for that is up: the session takes leave at once, whatever is under way. */
  cut(): void
}

/**
 * Runs a session over a connection until one of them ends. Never rejects; the stream is destroyed at the end.
 *
 * @param makeMachine - called once, at once, with what the machine may know and use.
 */
export function runSession(
  connection: Connection,
  makeMachine: (context: SessionContext) => SessionMachine,
  options: PumpOptions = {},
): RunningSession {
  return new Pump(connection, makeMachine, options)
}

type ReadWish = Extract<Wish, { readonly next: 'read' }>

/** One object in two parts: what the session may know and use, and what its worker may ask for. */
class Pump implements SessionContext, RunningSession {
  readonly output: Outbox
  readonly ended: Promise<SessionEnd>
  readonly #settleEnd: (end: SessionEnd) => void
  readonly #machine: SessionMachine
  readonly #options: PumpOptions
  #connection: Connection
  #stream: Duplex

  /** A call of the machine has not settled: nothing else may be called. */
  #isBusy = false
  /** The handshake owns the stream: nothing may be written in the clear. */
  #isUpgrading = false
  #isOver = false
  /** Met while busy, looked at when the step has settled. */
  #clientClosed = false
  #wakeAsked = false
  /** It was woken: what its client sent comes before it is woken again. */
  #clientsTurn: 'over' | 'next' | 'now' = 'over'
  #stopAsked = false
  #sessionPassed = false
  #otherEnd: (() => CloseReason) | undefined

  /** Bytes pass by the machine, between the client and somebody else. */
  #spliced: Spliced | undefined
  readonly #deadline: Deadline
  /** When the machine began to wait for something that is not the client. */
  #waitingSince = 0
  #sessionEnd: NodeJS.Timeout | undefined
  /** Runs while what was written is held back. */
  #delay: NodeJS.Timeout | undefined

  #bytesIn = 0

  constructor(connection: Connection, makeMachine: (context: SessionContext) => SessionMachine, options: PumpOptions) {
    const { promise, resolve } = Promise.withResolvers<SessionEnd>()
    this.ended = promise
    this.#settleEnd = resolve
    this.#options = options
    this.#connection = connection
    this.#stream = connection.stream
    this.output = new Outbox(connection.stream, () => this.#end('stalled'))
    this.#deadline = new Deadline({ isBusy: () => this.#isBusy, onPassed: () => this.#whenIdle() })
    this.#machine = makeMachine(this)
    if (options.maxSessionMs !== undefined) {
      this.#sessionEnd = setTimeout(() => {
        this.#sessionPassed = true
        if (!this.#isBusy) this.#whenIdle()
      }, options.maxSessionMs)
    }
    this.#listen()
    this.#step(() => this.#machine.start())
    this.#noticeEarlyEnd()
  }

  // ── what a session may know and use ───────────────────────────────────────

  get connection(): ConnectionInfo {
    return this.#connection
  }

  get signal(): AbortSignal {
    return this.#connection.signal
  }

  turn(): Promise<void> {
    return new Promise((resolve) => longWork.wait(resolve))
  }

  wake(): void {
    if (this.#wakeAsked || this.#isOver) return
    this.#wakeAsked = true
    if (!this.#isBusy) queueMicrotask(() => this.#wakeAsked && !this.#isBusy && !this.#isOver && this.#whenIdle())
  }

  // ── what its worker may ask for ───────────────────────────────────────────

  stop(): void {
    this.#stopAsked = true
    if (!this.#isBusy && !this.#isOver) this.#whenIdle()
  }

  cut(): void {
    if (this.#isOver) return
    if (this.#isUpgrading) {
      this.#end('stopping')
      return
    }
    this.#takeLeave()
    this.#finish('stopping')
  }

  // ── steps ─────────────────────────────────────────────────────────────────

  #step(call: () => Awaitable<Wish>): void {
    this.#isBusy = true
    let wish: Awaitable<Wish>
    try {
      wish = call()
    } catch (error) {
      this.#crash(error)
      return
    }
    if (wish instanceof Promise) {
      this.#stream.pause()
      this.#waitingSince = performance.now()
      wish.then(
        (settled) => this.#goOn(settled),
        (error: unknown) => this.#crash(error),
      )
    } else {
      this.#follow(wish)
    }
  }

  /** What the machine waited for is there. */
  #goOn(wish: Wish): void {
    this.#deadline.waited(performance.now() - this.#waitingSince)
    this.#follow(wish)
  }

  #follow(wish: Wish): void {
    if (this.#isOver) {
      // The client left while somebody was found for it.
      if (wish.next === 'splice') wish.splice.other.destroy()
      return
    }
    switch (wish.next) {
      case 'read':
        if (this.#spliced !== undefined) this.#passOn()
        else if (wish.afterMs === undefined || wish.afterMs === 0) this.#readOn(wish)
        else this.#holdBack(wish, wish.afterMs)
        return
      case 'upgrade-tls':
        void this.#upgrade()
        return
      case 'compress':
        this.#compress(wish.patienceMs)
        return
      case 'splice':
        this.#splice(wish.splice)
        return
      case 'close':
        this.#finish(wish.reason)
        return
    }
  }

  #readOn(wish: ReadWish): void {
    this.output.flush()
    this.#deadline.set(wish.patienceMs, wish.keepsDeadline === true)
    if (this.#stream.writableNeedDrain) this.#waitForReader()
    else this.#becomeIdle()
  }

  /** The session stays busy, so nothing is read, and what comes up meanwhile is looked at behind it. */
  #holdBack(wish: ReadWish, forMs: number): void {
    this.#stream.pause()
    this.#delay = setTimeout(() => this.#readOn(wish), forMs)
  }

  #becomeIdle(): void {
    this.#isBusy = false
    this.#whenIdle()
    if (this.#isBusy || this.#isOver) return
    if (this.#spliced !== undefined) this.#spliced.resume()
    else if (this.#stream.isPaused()) this.#stream.resume()
    if (this.#clientsTurn === 'next') void this.#hearClient()
  }

  /** What came up while the machine was busy, the most final first. */
  #whenIdle(): void {
    const otherEnd = this.#otherEnd
    if (otherEnd !== undefined) {
      this.#otherEnd = undefined
      this.#step(() => ({ next: 'close', reason: otherEnd() }))
    } else if (this.#clientClosed && this.#spliced === undefined) {
      this.#finish('client-closed')
    } else if (this.#deadline.take()) {
      this.#step(() => this.#machine.timedOut('patience'))
    } else if (this.#sessionPassed) {
      this.#sessionPassed = false
      this.#step(() => this.#machine.timedOut('session'))
    } else if (this.#stopAsked) {
      this.#stopAsked = false
      this.#step(() => this.#machine.stopping())
    } else if (this.#wakeAsked && this.#clientsTurn === 'over') {
      this.#wakeAsked = false
      this.#clientsTurn = 'next'
      this.#step(() => this.#machine.woken())
    }
  }

  /**
   * Wakes may come faster than the machine answers them, and then a client would never be heard. Two turns of the event
   * loop have one whole look for input between them, wherever the first one began.
   */
  async #hearClient(): Promise<void> {
    this.#clientsTurn = 'now'
    await nextTurn()
    await nextTurn()
    this.#clientsTurn = 'over'
    if (!this.#isBusy && !this.#isOver) this.#whenIdle()
  }

  // ── reading ───────────────────────────────────────────────────────────────

  #listen(): void {
    this.#stream.on('data', this.#onData)
    this.#stream.on('end', this.#onEnd)
    this.#stream.on('error', this.#onError)
    this.#stream.on('close', this.#onClose)
  }

  #unlisten(): void {
    this.#stream.off('data', this.#onData)
    this.#stream.off('end', this.#onEnd)
    this.#stream.off('error', this.#onError)
    this.#stream.off('close', this.#onClose)
  }

  readonly #onData = (bytes: Buffer): void => {
    this.#bytesIn += bytes.length
    if (turns.isOver) this.#receiveLater(bytes)
    else this.#step(() => this.#machine.receive(bytes))
  }

  /** Others come first. It is busy until then, so nothing more is read, and the client's time stands still. */
  #receiveLater(bytes: Buffer): void {
    this.#isBusy = true
    this.#stream.pause()
    this.#waitingSince = performance.now()
    turns.wait(() => {
      if (this.#isOver) return
      this.#deadline.waited(performance.now() - this.#waitingSince)
      this.#step(() => this.#machine.receive(bytes))
    })
  }

  /** The client closed its half: everything it sent has been received, and may still be answered. */
  readonly #onEnd = (): void => {
    this.#clientClosed = true
    if (!this.#isBusy) this.#whenIdle()
  }

  /** The client may have gone, or closed its half, before anybody listened here: those events do not come twice. */
  #noticeEarlyEnd(): void {
    if (this.#stream.destroyed) this.#lose(undefined)
    else if (this.#stream.readableEnded) this.#onEnd()
  }

  readonly #onError = (error: Error): void => this.#lose(error)
  readonly #onClose = (): void => this.#lose(undefined)

  /** The client reads slower than we write: answer nothing more until it caught up, but not for ever. */
  #waitForReader(): void {
    this.#stream.pause()
    this.output.whenDrained(() => this.#becomeIdle())
  }

  // ── TLS ───────────────────────────────────────────────────────────────────

  /**
   * Bytes that came in the clear behind STARTTLS must never be read as if TLS had protected them (CVE-2011-0411), so
   * they are thrown away *before* the reply invites the handshake; what comes after the reply belongs to TLS.
   */
  async #upgrade(): Promise<void> {
    const { upgradeTls } = this.#options
    if (upgradeTls === undefined) {
      this.#crash(new Error('the session asked for TLS on a listener that has none'))
      return
    }
    this.#stream.pause()
    // A read tells listeners what it takes: the session must not hear what is thrown away.
    this.#stream.off('data', this.#onData)
    while (this.#stream.read() !== null);
    this.#deadline.clear()
    try {
      await this.output.sent()
      if (this.#isOver) return
      this.#unlisten()
      const spent = this.#stream
      spent.on('error', ignore)
      this.#isUpgrading = true
      this.#connection = await upgradeTls(this.#connection)
      this.#isUpgrading = false
    } catch (error) {
      this.#end('tls-failed', error)
      return
    }
    this.#stream = this.#connection.stream
    this.output.use(this.#stream)
    if (this.#isOver) {
      this.#stream.destroy()
      return
    }
    this.#listen()
    this.#step(() => this.#machine.secured(this.#connection))
    this.#noticeEarlyEnd()
  }

  // ── compression ───────────────────────────────────────────────────────────

  #compress(patienceMs: number): void {
    this.output.flush()
    this.#unlisten()
    this.#stream = deflated(this.#stream)
    this.output.use(this.#stream)
    this.#listen()
    this.#readOn({ next: 'read', patienceMs })
  }

  // ── splicing ──────────────────────────────────────────────────────────────

  /** No deadline runs from here on: the two of them know how long they may be silent, and we cannot tell what they say. */
  #splice(splice: Splice): void {
    this.output.flush()
    this.#deadline.clear()
    this.#stream.off('data', this.#onData)
    this.#stream.off('end', this.#onEnd)
    this.#spliced = new Spliced(this.#stream, splice, {
      onClientEnd: () => (this.#clientClosed = true),
      onOtherEnd: (how) => {
        // Who closed first is to blame for the end, and who closes only answers it says nothing any more.
        this.#otherEnd = () => (this.#clientClosed ? 'client-closed' : splice.onOtherEnd(how))
        if (!this.#isBusy) this.#whenIdle()
      },
      onFault: (error) => this.#crash(error),
    })
    this.#spliced.start()
    this.#becomeIdle()
  }

  /** What the machine wrote meanwhile stands between what is passed on. */
  #passOn(): void {
    this.output.flush()
    this.#becomeIdle()
  }

  // ── the end ───────────────────────────────────────────────────────────────

  /** Sends what waits, closes our half, and lets the client read it: closing with unread input would reset it away. */
  #finish(reason: CloseReason, error?: unknown): void {
    this.output.flush()
    this.#unlisten()
    this.#spliced?.close()
    const stream = this.#stream
    stream.on('error', ignore)
    let giveUp = setTimeout(() => stream.destroy(), limits.stalledReaderMs)
    stream.once('finish', () => {
      clearTimeout(giveUp)
      giveUp = setTimeout(() => stream.destroy(), limits.lingerMs)
    })
    stream.once('close', () => clearTimeout(giveUp))
    throwAway(stream)
    stream.end()
    void this.#over(reason, error)
  }

  #crash(error: unknown): void {
    if (this.#isOver) return
    if (error instanceof ConnectionLostError) {
      this.#end('connection-lost', error)
      return
    }
    this.#takeLeave()
    this.#finish('internal-error', error)
  }

  #takeLeave(): void {
    try {
      this.#machine.failed()
    } catch {
      // What led here is what gets reported; a machine too broken to take leave is closed without a word.
    }
  }

  #lose(error: Error | undefined): void {
    this.#end(this.#clientClosed ? 'client-closed' : 'connection-lost', error)
  }

  #end(reason: CloseReason, error?: unknown): void {
    if (this.#isOver) return
    this.#unlisten()
    this.#spliced?.close()
    this.#stream.on('error', ignore)
    this.#stream.destroy()
    void this.#over(reason, error)
  }

  /** The machine lets go at once; whoever counts connections hears of the end when the stream is closed. */
  async #over(reason: CloseReason, error: unknown): Promise<void> {
    this.#isOver = true
    this.#deadline.clear()
    clearTimeout(this.#sessionEnd)
    clearTimeout(this.#delay)
    this.output.close()
    let fault = error
    try {
      await this.#machine.ended(reason)
    } catch (thrown) {
      fault ??= thrown
    }
    const stream = this.#stream
    if (!stream.closed) await new Promise((resolve) => stream.once('close', resolve))
    this.#settleEnd({
      reason,
      bytesIn: this.#bytesIn + (this.#spliced?.bytesIn ?? 0),
      bytesOut: this.output.bytes + (this.#spliced?.bytesOut ?? 0),
      connection: this.#connection,
      ...(fault === undefined ? {} : { error: fault }),
    })
  }
}

function ignore(): void {}
