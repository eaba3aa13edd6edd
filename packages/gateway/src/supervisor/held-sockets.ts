/*
 * The supervisor binds every listening socket and serves none. A socket's accept queue belongs to the kernel object,
 * which lives as long as somebody holds it: so a worker may be replaced or killed, and connections that wait in the
 * queue wait for its successor on the same socket. So may the supervisor itself: its successor inherits the descriptors.
 *
 * Each worker slot has sockets of its own (SO_REUSEPORT): the kernel spreads connections evenly over them. One socket
 * shared by all workers wakes the last sleeper first and was measured up to 45:1 out of balance under light load, which
 * long-lived IMAP connections would keep for hours. It is the fallback where the platform has no such option, and for
 * sockets that somebody else has bound (systemd).
 *
 * A new configuration may ask for other addresses, or for another number of slots. What is held and still wanted is kept;
 * when the slots become fewer, those that are left serve the sockets of the others too, since closing one would reset what
 * waits in its queue.
 */
import { closeSync } from 'node:fs'
import { BoundSocket } from 'node:net'
import { collide } from '../config/bind-address.ts'
import type { BindAddress, StartConfig } from '../config/schema.ts'

/** A bound descriptor of this process. */
export interface HeldSocket {
  fd(): number
  [Symbol.dispose](): void
}

/** One listener's address, bound once for each slot. */
export interface HeldListener {
  readonly listener: string
  /** As it is configured. */
  readonly bind: BindAddress
  readonly host: string
  /** The port that was bound; the system's choice when the configuration says 0. */
  readonly port: number
  /** An IPv6 socket that takes no IPv4. */
  readonly ipv6Only: boolean
  /** One socket serves all slots. */
  readonly isShared: boolean
  readonly sockets: readonly HeldSocket[]
  /** The descriptors that a slot inherits: one, or more when there were more slots before. */
  readonly fdsOf: (slot: number) => readonly number[]
}

export interface ListenerAddress {
  readonly listener: string
  readonly bind: BindAddress
}

export function addressesOf({ listeners }: StartConfig): readonly ListenerAddress[] {
  return listeners.flatMap(({ name, bind }) => bind.map((address) => ({ listener: name, bind: address })))
}

/**
 * @param kept - what is held already: sockets of these addresses are used again.
 * @throws the system's error, with the address in its message, when one cannot be bound; none is then held beyond `kept`.
 */
export function holdSockets(
  addresses: readonly ListenerAddress[],
  slots: number,
  kept: readonly HeldListener[] = [],
): readonly HeldListener[] {
  const held: HeldListener[] = []
  try {
    for (const address of addresses) held.push(hold(address, { addresses, slots, kept }))
  } catch (error) {
    releaseUnused(held, kept)
    throw error
  }
  return held
}

/** Lets those go that are not used any more. Those of workers live on until they have closed theirs. */
export function releaseUnused(before: readonly HeldListener[], now: readonly HeldListener[] = []): void {
  const used = new Set(now.flatMap(({ sockets }) => sockets))
  for (const socket of before.flatMap(({ sockets }) => sockets)) if (!used.has(socket)) socket[Symbol.dispose]()
}

/** A descriptor that this process was started with. */
export function inheritedSocket(fd: number): HeldSocket {
  let isOpen = true
  return {
    fd: () => fd,
    [Symbol.dispose]: () => {
      if (isOpen) closeSync(fd)
      isOpen = false
    },
  }
}

export function heldListener(
  listener: Omit<HeldListener, 'fdsOf'>,
  /** Among how many the sockets are spread. */
  slots: number,
): HeldListener {
  const { sockets, isShared } = listener
  return {
    ...listener,
    fdsOf: (slot) =>
      sockets.filter((_socket, index) => isShared || index % slots === slot).map((socket) => socket.fd()),
  }
}

interface Wanted {
  readonly addresses: readonly ListenerAddress[]
  readonly slots: number
  readonly kept: readonly HeldListener[]
}

function hold({ listener, bind }: ListenerAddress, { addresses, slots, kept }: Wanted): HeldListener {
  const { host } = bind
  // `[::]` serves both families, as the system does, unless `0.0.0.0` of the same port is configured beside it.
  const ipv6Only =
    host === '::' && addresses.some((other) => other.bind.host === '0.0.0.0' && other.bind.port === bind.port)
  const known = kept.find((one) => isSame(one, { listener, bind }) && (one.isShared || one.ipv6Only === ipv6Only))
  if (known?.isShared === true) return heldListener({ ...known, listener, bind }, slots)
  // What we hold ourselves looks taken.
  if (bind.port !== 0 && !kept.some((one) => collide(one, bind))) {
    refuseWhenTaken({ host, port: bind.port, ipv6Only })
  }
  const sockets: HeldSocket[] = [...(known?.sockets ?? [])]
  const own: HeldSocket[] = []
  let port = known?.port ?? bind.port
  let isShared = false
  try {
    if (sockets.length === 0) {
      const first = bindFirst({ host, port, ipv6Only })
      own.push(first.socket)
      port = first.socket.address().port
      isShared = !first.isPerSlot
    }
    const missing = isShared ? 0 : slots - sockets.length - own.length
    for (let index = 0; index < missing; index++) {
      own.push(new BoundSocket({ host, port, ipv6Only, reusePort: true }))
    }
  } catch (error) {
    for (const socket of own) socket[Symbol.dispose]()
    throw error
  }
  return heldListener({ listener, bind, host, port, ipv6Only, isShared, sockets: [...sockets, ...own] }, slots)
}

/** A port that the system chose is a listener's; any other is known by its number. */
function isSame(one: HeldListener, { listener, bind }: ListenerAddress): boolean {
  if (one.host !== bind.host) return false
  return bind.port === 0 ? one.bind.port === 0 && one.listener === listener : one.port === bind.port
}

/** SO_REUSEPORT would let a second gateway of the same user take half of the mail: without it, a taken port is an error. */
export function refuseWhenTaken(address: {
  readonly host: string
  readonly port: number
  readonly ipv6Only?: boolean
}): void {
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
