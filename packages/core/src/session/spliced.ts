import type { Duplex } from 'node:stream'
import type { Splice } from '../contracts/session.ts'
import { limits } from '../limits.ts'

/** What whoever splices hears of it. */
interface SpliceListeners {
  readonly onClientEnd: () => void
  /** Called once; nothing more passes then. */
  readonly onOtherEnd: (how: 'closed' | 'lost') => void
  /** Whoever looks at the bytes threw. */
  readonly onFault: (error: unknown) => void
}

/**
 * Passes bytes between a client and somebody else. Who reads slowly makes the other side wait: what is under way in each
 * direction is one read and what a stream holds before it asks to stop. Who closes its half has it closed on the far side
 * when all of its bytes are there; the far side may then go on, but not be silent for ever.
 *
 * Errors and the end of the client's stream are the pump's business, which owns it.
 */
export class Spliced {
  bytesIn = 0
  bytesOut = 0
  readonly #client: Duplex
  readonly #other: Duplex
  readonly #splice: Splice
  readonly #listeners: SpliceListeners
  #silence: NodeJS.Timeout | undefined
  #isOver = false

  constructor(client: Duplex, splice: Splice, listeners: SpliceListeners) {
    this.#client = client
    this.#other = splice.other
    this.#splice = splice
    this.#listeners = listeners
  }

  /** May call the listeners at once. */
  start(): void {
    const client = this.#client
    const { other, first } = this.#splice
    client.on('data', this.#onClientData).on('end', this.#onClientEnd).on('drain', this.#onClientDrain)
    other.on('data', this.#onOtherData).on('end', this.#onOtherEnd).on('drain', this.#onOtherDrain)
    other.on('error', this.#onOtherLost).on('close', this.#onOtherLost)
    if (first.length > 0) this.#pass(first, 'other')
    // A client that closed its half while it was signed in says so only once.
    if (client.readableEnded) this.#onClientEnd()
    if (other.destroyed) this.#onOtherLost()
    else if (other.readableEnded) this.#onOtherEnd()
    else if (client.writableNeedDrain) other.pause()
    else other.resume()
  }

  /** The client is read on, unless the other side has to catch up first. */
  resume(): void {
    if (!this.#other.writableNeedDrain) this.#client.resume()
  }

  /** Nothing passes any more, and the other side is gone. */
  close(): void {
    this.#isOver = true
    clearTimeout(this.#silence)
    this.#client.off('data', this.#onClientData).off('end', this.#onClientEnd).off('drain', this.#onClientDrain)
    this.#other.off('data', this.#onOtherData)
    this.#other.destroy()
  }

  readonly #onClientData = (bytes: Buffer): void => {
    this.bytesIn += bytes.length
    this.#pass(bytes, 'other')
  }

  readonly #onOtherData = (bytes: Buffer): void => {
    this.bytesOut += bytes.length
    this.#silence?.refresh()
    this.#pass(bytes, 'client')
  }

  #pass(bytes: Buffer, to: 'client' | 'other'): void {
    try {
      this.#splice.onPassing?.(bytes, to)
    } catch (error) {
      this.#listeners.onFault(error)
      return
    }
    const [source, target] = to === 'client' ? [this.#other, this.#client] : [this.#client, this.#other]
    if (!target.write(bytes)) source.pause()
  }

  readonly #onClientDrain = (): void => void this.#other.resume()
  readonly #onOtherDrain = (): void => void this.#client.resume()

  readonly #onClientEnd = (): void => {
    this.#listeners.onClientEnd()
    this.#other.end()
    this.#silence = setTimeout(this.#onOtherLost, limits.halfClosedMs)
  }

  readonly #onOtherEnd = (): void => this.#ended('closed')
  readonly #onOtherLost = (): void => this.#ended('lost')

  #ended(how: 'closed' | 'lost'): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#listeners.onOtherEnd(how)
  }
}
