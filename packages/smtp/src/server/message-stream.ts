import { Readable } from 'node:stream'
import type { Awaitable } from '@postern/core'
import { serverLimits } from '../limits.ts'

/** A message on its way to whoever reads it, no faster than it is read. */
export class MessageStream extends Readable {
  #wanted: (() => void) | undefined

  constructor() {
    super({ highWaterMark: serverLimits.maxUnreadMessageBytes })
    // Whoever reads hears of it as well; whoever does not must not end the process by that.
    this.on('error', ignore)
  }

  /** @param chunk - a view, copied: what is read may be kept. */
  give(chunk: Buffer): Awaitable<void> {
    if (this.destroyed || this.push(Buffer.from(chunk))) return
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#wanted = resolve
    return promise
  }

  end(): void {
    this.push(null)
  }

  override _read(): void {
    this.#wanted?.()
  }

  /** Nobody reads on, so nothing waits. */
  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#wanted?.()
    done(error)
  }
}

function ignore(): void {}
