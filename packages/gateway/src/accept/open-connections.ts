import type { Socket } from 'node:net'
import type { RunningSession } from '@postern/core'
import type { ConnectionLog, OpenConnection } from '../observe/connection-log.ts'

interface Open {
  readonly log: ConnectionLog
  /** Absent until it has one. */
  session?: RunningSession
}

/** The connections of one worker, for its drain and for whoever asks what is open. */
export class OpenConnections {
  readonly #open = new Map<Socket, Open>()
  #isStopping = false

  get size(): number {
    return this.#open.size
  }

  begin(socket: Socket, log: ConnectionLog): void {
    this.#open.set(socket, { log })
  }

  /** The connection has a session now, which is asked to finish when the worker stops. */
  serve(socket: Socket, session: RunningSession): void {
    const open = this.#open.get(socket)
    if (open !== undefined) open.session = session
    if (this.#isStopping) session.stop()
  }

  end(socket: Socket): void {
    this.#open.delete(socket)
  }

  /** Sessions finish what is under way and take leave; whoever has no session yet has said nothing that matters. */
  stop(): void {
    if (this.#isStopping) return
    this.#isStopping = true
    for (const [socket, { session }] of this.#open) {
      if (session === undefined) socket.destroy()
      else session.stop()
    }
  }

  /**
   * The time is up.
   *
   * @returns how many were open still.
   */
  cut(): number {
    const { size } = this.#open
    for (const [socket, { session }] of this.#open) {
      if (session === undefined) socket.destroy()
      else session.cut()
    }
    return size
  }

  /** Each as it is now, in the order in which they came. */
  *describe(): Iterable<OpenConnection> {
    for (const { log } of this.#open.values()) yield log.describe()
  }
}
