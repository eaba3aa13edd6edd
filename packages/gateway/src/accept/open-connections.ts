import type { Socket } from 'node:net'
import type { RunningSession } from '@postern/core'

/** The connections of one worker, for its drain. */
export class OpenConnections {
  readonly #open = new Map<Socket, RunningSession | undefined>()
  #isStopping = false

  get size(): number {
    return this.#open.size
  }

  begin(socket: Socket): void {
    this.#open.set(socket, undefined)
  }

  /** The connection has a session now, which is asked to finish when the worker stops. */
  serve(socket: Socket, session: RunningSession): void {
    this.#open.set(socket, session)
    if (this.#isStopping) session.stop()
  }

  end(socket: Socket): void {
    this.#open.delete(socket)
  }

  /** Sessions finish what is under way and take leave; whoever has no session yet has said nothing that matters. */
  stop(): void {
    if (this.#isStopping) return
    this.#isStopping = true
    for (const [socket, session] of this.#open) {
      if (session === undefined) socket.destroy()
      else session.stop()
    }
  }

  /** The time is up. */
  cut(): void {
    for (const [socket, session] of this.#open) {
      if (session === undefined) socket.destroy()
      else session.cut()
    }
  }
}
