/*
 * The supervisor binds every listening socket and serves none. A socket's accept queue belongs to the kernel object,
 * which lives as long as somebody holds it: so a worker may be replaced or killed, and connections that wait in the
 * queue wait for its successor on the same socket.
 *
 * Each worker slot has sockets of its own (SO_REUSEPORT): the kernel spreads connections evenly over them. One socket
 * shared by all workers wakes the last sleeper first and was measured up to 45:1 out of balance under light load, which
 * long-lived IMAP connections would keep for hours. It is the fallback where the platform has no such option.
 */
import { BoundSocket } from 'node:net'
import type { BindAddress } from '../config/schema.ts'

/** One listener's address, bound once for each slot. */
export interface HeldListener {
  readonly listener: string
  readonly host: string
  /** The port that was bound; the system's choice when the configuration says 0. */
  readonly port: number
  /** The descriptor that a slot inherits. */
  fdOf(slot: number): number
  /** Lets the sockets go; those of the workers live on. */
  release(): void
}

export interface ListenerAddress {
  readonly listener: string
  readonly bind: BindAddress
}

/** @throws the system's error, with the address in its message, when one cannot be bound; none is then held. */
export function holdSockets(addresses: readonly ListenerAddress[], slots: number): readonly HeldListener[] {
  const held: HeldListener[] = []
  try {
    for (const address of addresses) held.push(hold(address, addresses, slots))
  } catch (error) {
    for (const listener of held) listener.release()
    throw error
  }
  return held
}

function hold({ listener, bind }: ListenerAddress, all: readonly ListenerAddress[], slots: number): HeldListener {
  const { host } = bind
  // `[::]` serves both families, as the system does, unless `0.0.0.0` of the same port is configured beside it.
  const ipv6Only = host === '::' && all.some((other) => other.bind.host === '0.0.0.0' && other.bind.port === bind.port)
  if (bind.port !== 0) refuseWhenTaken({ host, port: bind.port, ipv6Only })
  const first = bindFirst({ host, port: bind.port, ipv6Only })
  const sockets = [first.socket]
  const { port } = first.socket.address()
  try {
    while (first.isPerSlot && sockets.length < slots) {
      sockets.push(new BoundSocket({ host, port, ipv6Only, reusePort: true }))
    }
  } catch (error) {
    for (const socket of sockets) socket.close()
    throw error
  }
  return {
    listener,
    host,
    port,
    fdOf: (slot) => (sockets[slot] ?? first.socket).fd(),
    // Unlike `close`, disposing of a socket twice is no error.
    release: () => {
      for (const socket of sockets) socket[Symbol.dispose]()
    },
  }
}

/** SO_REUSEPORT would let a second gateway of the same user take half of the mail: without it, a taken port is an error. */
function refuseWhenTaken(address: { readonly host: string; readonly port: number; readonly ipv6Only: boolean }): void {
  new BoundSocket(address).close()
}

function bindFirst(address: { readonly host: string; readonly port: number; readonly ipv6Only: boolean }): {
  readonly socket: BoundSocket
  readonly isPerSlot: boolean
} {
  try {
    return { socket: new BoundSocket({ ...address, reusePort: true }), isPerSlot: true }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOTSUP') throw error
    return { socket: new BoundSocket(address), isPerSlot: false }
  }
}
