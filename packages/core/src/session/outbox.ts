import type { Duplex } from 'node:stream'
import type { Output } from '../contracts/session.ts'
import { limits } from '../limits.ts'
import { turns } from './turns.ts'

/** A write was awaited on a connection that is gone. */
export class ConnectionLostError extends Error {
  override readonly name = 'ConnectionLostError'
}

/** What a session has written: the text and buffers of a step, in order, in one write. Who reads nothing is cut off. */
export class Outbox implements Output {
  /** Of all that was handed to a stream. */
  bytes = 0
  #stream: Duplex
  readonly #onStalled: () => void
  #isClosed = false
  /** `#text` comes after all of `#chunks`. */
  #chunks: (Buffer | string)[] = []
  #text = ''
  #pendingBytes = 0
  #rejectDrained: ((error: Error) => void) | undefined

  /** @param onStalled - the client has read nothing for too long. */
  constructor(stream: Duplex, onStalled: () => void) {
    this.#stream = stream
    this.#onStalled = onStalled
  }

  /** What is written from now on goes there. */
  use(stream: Duplex): void {
    this.#stream = stream
  }

  write(chunk: Buffer | string): void {
    if (typeof chunk === 'string') {
      this.#text += chunk
      this.#pendingBytes += chunk.length
    } else {
      if (this.#text !== '') this.#chunks.push(this.#text)
      this.#text = ''
      this.#chunks.push(chunk)
      this.#pendingBytes += chunk.length
    }
  }

  get isFull(): boolean {
    return this.#stream.writableNeedDrain || this.#pendingBytes >= limits.maxPendingOutputBytes
  }

  drained(): Promise<void> {
    if (this.#isClosed) return Promise.reject(gone())
    this.flush()
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    // A client that reads as fast as it is written to would never let others have their turn.
    const goOn = (): void => {
      if (turns.isOver) turns.wait(() => (this.#isClosed ? reject(gone()) : resolve()))
      else resolve()
    }
    if (this.#stream.writableNeedDrain) {
      this.#rejectDrained = reject
      this.whenDrained(goOn)
    } else {
      goOn()
    }
    return promise
  }

  /** @param onWritten - called when the last of it has been handed to the kernel, or the stream is gone. */
  flush(onWritten: () => void = ignore): void {
    if (this.#pendingBytes === 0 || this.#stream.writableEnded) {
      onWritten()
      return
    }
    this.#pendingBytes = 0
    const text = this.#text
    this.#text = ''
    if (this.#chunks.length === 0) {
      this.bytes += Buffer.byteLength(text)
      this.#stream.write(text, onWritten)
      return
    }
    const chunks = this.#chunks
    this.#chunks = []
    if (text !== '') chunks.push(text)
    this.#stream.cork()
    const last = chunks.length - 1
    for (const [index, chunk] of chunks.entries()) {
      this.bytes += Buffer.byteLength(chunk)
      this.#stream.write(chunk, index === last ? onWritten : ignore)
    }
    this.#stream.uncork()
  }

  /** Resolves when the kernel has all that waits, or the connection is over. */
  async sent(): Promise<void> {
    const stalled = setTimeout(this.#onStalled, limits.stalledReaderMs)
    await new Promise<void>((resolve) => this.flush(resolve))
    clearTimeout(stalled)
  }

  /** @param next - called when the client has caught up; never when it is gone. */
  whenDrained(next: () => void): void {
    const stalled = setTimeout(this.#onStalled, limits.stalledReaderMs)
    const stream = this.#stream
    const settle = (): void => {
      clearTimeout(stalled)
      stream.off('drain', settle)
      stream.off('close', settle)
      this.#rejectDrained = undefined
      if (!this.#isClosed) next()
    }
    stream.once('drain', settle)
    stream.once('close', settle)
  }

  /** The connection is over: whoever waits for it to drain has waited for nothing. */
  close(): void {
    this.#isClosed = true
    this.#rejectDrained?.(gone())
  }
}

function gone(): ConnectionLostError {
  return new ConnectionLostError('the connection is gone')
}

function ignore(): void {}
