/*
 * One connection after another, or one that is kept: opens, works, counts. Everything that is written was made before; what
 * comes in is counted and forgotten.
 */
import { connect, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import type { Target } from './target.ts'
import { ImapResponses, imapCode, nameOfCode, SmtpReplies, type ReplyReader } from './replies.ts'
import type { Failures, Tally } from './tally.ts'
import { isAwaited, type Turn, type Work } from './work.ts'

/** What all lanes of a thread have in common. */
export interface LaneContext {
  readonly target: Target
  readonly work: Work
  readonly tally: Tally
  /** What goes out before everything else; the argument counts connections. */
  readonly header: ((serial: number) => Buffer) | undefined
  readonly localAddress: ((serial: number) => string) | undefined
  /** The next number of a connection of this thread. */
  readonly nextSerial: () => number
  /** A lane is ready for work: it begins some with `begin`, now or later. */
  readonly onIdle: (lane: Lane) => void
  /** A connection that is to be kept is open. */
  readonly onOpen: (lane: Lane) => void
  /** A connection that was to be kept is gone; the lane may be opened again. With it went an operation, or none. */
  readonly onLost: (lane: Lane, hadOperation: boolean) => void
  /** Received bytes are read into it and looked at before the next read: all connections of a thread share it. */
  readonly readBuffer: Buffer
}

type Phase = 'closed' | 'opening' | 'ready' | 'working' | 'closing'

export class Lane {
  readonly #context: LaneContext
  #phase: Phase = 'closed'
  #socket: Socket | undefined
  #replies: ReplyReader = new SmtpReplies()
  #turns: readonly Turn[] = []
  #turn = 0
  /** Replies of this turn that have come. */
  #came = 0
  #operation = 0
  /** When the operation was due; what it is timed from. */
  #due = 0
  /** By the clock of `performance.now`; what is under way has failed then. */
  #startedAt = 0
  /** An operation is under way that was not counted yet. */
  #isOwing = false
  readonly #onReply = (code: number): void => this.#replied(code)

  constructor(context: LaneContext, firstOperation: number) {
    this.#context = context
    this.#operation = firstOperation
  }

  /** Waits for work, connected or not. */
  get isIdle(): boolean {
    return this.#phase === 'ready' || (this.#phase === 'closed' && this.#context.work.perConnection)
  }

  /** Something is under way that will end. */
  get isBusy(): boolean {
    return this.#phase === 'opening' || this.#phase === 'working' || this.#phase === 'closing'
  }

  get isOpen(): boolean {
    return this.#phase === 'ready' || this.#phase === 'working'
  }

  /** Begins what was due at that time. Only when it is idle. */
  begin(due: number, now: number): void {
    this.#due = due
    this.#isOwing = true
    if (this.#context.work.perConnection) this.open(now)
    else this.#operate(now)
  }

  /** Connects, and goes through the opening. */
  open(now: number): void {
    const { target, header, localAddress, nextSerial, readBuffer, work } = this.#context
    const serial = nextSerial()
    this.#phase = 'opening'
    this.#startedAt = now
    if (!work.perConnection) this.#due = now
    this.#replies = target.protocol === 'imap' ? new ImapResponses() : new SmtpReplies()
    const from = localAddress === undefined ? {} : { localAddress: localAddress(serial) }
    const onread =
      target.tls === 'off'
        ? {
            onread: {
              buffer: readBuffer,
              callback: (length: number, bytes: Uint8Array) => {
                this.#received(bytes, length, socket)
                return true
              },
            },
          }
        : {}
    const socket = connect({ host: target.host, port: target.port, noDelay: true, ...from, ...onread })
    const first = header?.(serial)
    if (first !== undefined) this.#write(socket, first)
    if (target.tls === 'implicit') this.#secure(socket)
    else this.#attach(socket)
    this.#start(work.openings[serial % work.openings.length]!)
  }

  /** Ends what has taken longer than it may. */
  expire(now: number, timeoutMs: number): void {
    if (this.isBusy && now - this.#startedAt > timeoutMs)
      this.#fail('timeouts', `no reply within ${timeoutMs / 1_000} s`)
  }

  /** Leaves without a word. */
  destroy(): void {
    const socket = this.#socket
    this.#socket = undefined
    this.#phase = 'closed'
    socket?.destroy()
  }

  #attach(socket: Socket): void {
    this.#socket = socket
    // A socket with `onread` has no such events, but has to flow all the same to tell its end.
    if (this.#context.target.tls === 'off') socket.resume()
    else socket.on('data', (bytes: Buffer) => this.#received(bytes, bytes.length, socket))
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (this.#socket === socket) this.#fail(error.code === 'ECONNRESET' ? 'resets' : 'connect', error.message)
    })
    socket.on('close', () => {
      if (this.#socket === socket) this.#closed()
    })
  }

  /** Talks through TLS from now on. The certificate is not looked at: what is measured is the server, not its name. */
  #secure(raw: Socket): void {
    raw.removeAllListeners('data')
    // What becomes of it is told by the socket around it.
    raw.on('error', () => {})
    const secured = connectTls({ socket: raw, rejectUnauthorized: false })
    this.#attach(secured)
  }

  #start(turns: readonly Turn[]): void {
    this.#turns = turns
    this.#turn = 0
    this.#came = 0
    const first = turns[0]
    if (first !== undefined && this.#socket !== undefined && first.bytes.length > 0)
      this.#write(this.#socket, first.bytes)
  }

  #operate(now: number): void {
    const { operations } = this.#context.work
    this.#phase = 'working'
    this.#startedAt = now
    this.#start(operations[this.#operation++ % operations.length]!.turns)
  }

  #write(socket: Socket, bytes: Buffer): void {
    this.#context.tally.moved(bytes.length)
    socket.write(bytes)
  }

  #received(bytes: Uint8Array, length: number, from: Socket): void {
    if (from !== this.#socket) return
    this.#context.tally.moved(length)
    this.#replies.feed(bytes, length, this.#onReply)
  }

  #replied(code: number): void {
    // Behind a reply that ended it, or that was all that was wanted, a piece may hold more.
    if (this.#phase === 'closed' || (this.#phase === 'closing' && this.#context.work.closing.length === 0)) return
    this.#context.tally.replied(code)
    const turn = this.#turns[this.#turn]
    if (turn === undefined || this.#phase === 'ready') {
      // A held IMAP session may be told that it ends; everything else here was not asked for.
      return this.#fail('refused', `${nameOfCode(code)} without a question`)
    }
    if (!isAwaited(code, turn.awaits[this.#came] ?? '')) {
      // RFC 9051 §7.1.5: BYE comes before the OK of a LOGOUT.
      if (code === imapCode.bye && this.#isTakingLeave) return
      return this.#fail('refused', `${nameOfCode(code)} where ${turn.awaits[this.#came]} was awaited`)
    }
    if (++this.#came < turn.awaits.length) return
    this.#came = 0
    this.#turn++
    if (turn.upgrades) this.#secure(this.#socket!)
    const next = this.#turns[this.#turn]
    if (next === undefined) this.#finished()
    else if (next.bytes.length > 0) this.#write(this.#socket!, next.bytes)
  }

  get #isTakingLeave(): boolean {
    return this.#phase === 'closing' || this.#turns[this.#turn]?.bytes.includes('LOGOUT') === true
  }

  /** The last turn was answered: of the opening, of an operation, or of the leave. */
  #finished(): void {
    const { work, onOpen } = this.#context
    const now = performance.now()
    if (this.#phase === 'opening') {
      if (!work.perConnection) {
        this.#phase = 'ready'
        // Where there is nothing else to do, to open is the work.
        if (work.operations.length === 0) this.#succeed(now)
        onOpen(this)
        this.#context.onIdle(this)
      } else if (work.operations.length > 0) {
        this.#operate(this.#startedAt)
      } else {
        this.#succeed(now)
        this.#leave()
      }
    } else if (this.#phase === 'working') {
      this.#succeed(now)
      if (work.perConnection) {
        this.#leave()
      } else {
        this.#phase = 'ready'
        this.#context.onIdle(this)
      }
    } else {
      // Answered to QUIT: the server closes; and so do we, should it not.
      this.#socket?.end()
    }
  }

  #leave(): void {
    this.#phase = 'closing'
    const { closing } = this.#context.work
    if (closing.length > 0) this.#start(closing)
    else this.#socket?.end()
  }

  #succeed(now: number): void {
    this.#isOwing = false
    this.#context.tally.succeeded(this.#due, now)
  }

  #fail(why: keyof Failures, detail: string): void {
    const hadOperation = this.#isOwing
    // What goes wrong while leave is taken is no failure of what was done before.
    const isLeaving = this.#phase === 'closing'
    this.#isOwing = false
    if (!isLeaving) this.#context.tally.failed(why, detail)
    this.destroy()
    // A server that refuses everything is not asked as fast as this machine can.
    setTimeout(() => this.#resume(hadOperation), pauseAfterFailureMs)
  }

  #closed(): void {
    const hasWorkLeft = this.#isOwing || this.#phase === 'opening' || this.#phase === 'ready'
    if (hasWorkLeft && this.#phase !== 'closing') return this.#fail('resets', 'closed by the server')
    this.#socket = undefined
    this.#phase = 'closed'
    this.#resume(false)
  }

  /** Goes on with another connection. */
  #resume(hadOperation: boolean): void {
    if (this.#phase !== 'closed') return
    if (this.#context.work.perConnection) this.#context.onIdle(this)
    else this.#context.onLost(this, hadOperation)
  }
}

const pauseAfterFailureMs = 10
