import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'

/** What happens to the bytes of one direction of a connection. Without anything they pass as they come. */
export interface Trouble {
  /** Each piece waits that long, and so does the end; the order stays. */
  readonly delayMs?: number
  /** Pieces are no longer than this, and each is a write of its own. */
  readonly pieceBytes?: number
  /** When so many bytes have passed, this happens, and no byte of this direction passes any more. */
  readonly after?: { readonly bytes: number; readonly happens: Accident }
}

/**
 * `reset`: RST to both sides. `close`: FIN to both sides. `half-close`: FIN to the receiver alone, who may go on speaking.
 * `stall`: nothing more, and no end either. `vanish`: RST to the receiver, while the sender hears nothing until it gives up.
 */
export type Accident = 'reset' | 'close' | 'half-close' | 'stall' | 'vanish'

/** What happens to one connection. */
export interface Troubles {
  readonly toServer?: Trouble
  readonly toClient?: Trouble
}

export interface ChaosProxy {
  readonly port: number
  /** Connections so far. */
  readonly connections: number
  readonly stop: () => Promise<void>
}

/** A TCP proxy on loopback to a port of this machine that makes trouble, as networks do. `troubles` is asked for each connection. */
export async function startChaosProxy(to: number, troubles: (connection: number) => Troubles): Promise<ChaosProxy> {
  const open = new Set<Socket>()
  let connections = 0
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
    const { toServer = {}, toClient = {} } = troubles((connections += 1))
    const upstream = connect({ host: '127.0.0.1', port: to, allowHalfOpen: true, noDelay: true })
    for (const [from, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      open.add(from)
      // A reset goes through to the other side; what was under way is lost, as with any reset.
      from.on('error', () => other.resetAndDestroy())
      from.once('close', () => open.delete(from))
    }
    void pass(client, upstream, toServer)
    void pass(upstream, client, toClient)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    get connections() {
      return connections
    },
    stop: async () => {
      server.close()
      for (const socket of open) socket.destroy()
      await once(server, 'close')
    },
  }
}

/** Senders whose receiver has vanished: they hear of no end. */
const spared = new WeakSet<Socket>()

/** Hands on what comes, one piece after the other, so that a slow receiver slows the sender. */
async function pass(from: Socket, to: Socket, { delayMs = 0, pieceBytes, after }: Trouble): Promise<void> {
  let passed = 0
  try {
    for await (const chunk of from.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      const allowed = after === undefined ? chunk : chunk.subarray(0, Math.max(0, after.bytes - passed))
      const size = pieceBytes ?? allowed.length
      for (let at = 0; at < allowed.length; at += size) {
        if (delayMs > 0) await pause(delayMs)
        await write(to, allowed.subarray(at, at + size))
      }
      passed += allowed.length
      if (after !== undefined && passed >= after.bytes) {
        cause(after.happens, from, to)
        return
      }
    }
    if (delayMs > 0) await pause(delayMs)
    if (!spared.has(to)) to.end()
  } catch {
    if (!spared.has(to)) to.resetAndDestroy()
  }
}

function cause(accident: Accident, from: Socket, to: Socket): void {
  switch (accident) {
    case 'reset':
      from.resetAndDestroy()
      to.resetAndDestroy()
      return
    case 'close':
      from.destroy()
      to.end()
      return
    case 'half-close':
      to.end()
      from.resume()
      return
    case 'stall':
      from.pause()
      return
    case 'vanish':
      // What it sends is taken and thrown away, so that it notices only that nobody answers.
      spared.add(from)
      from.removeAllListeners('error').on('error', () => {})
      from.resume()
      to.removeAllListeners('error').on('error', () => {})
      to.resetAndDestroy()
  }
}

/** Written by itself, so that the kernel sends it before the next piece is there. */
async function write(to: Socket, piece: Buffer): Promise<void> {
  await new Promise<void>((resolve, reject) => to.write(piece, (error) => (error ? reject(error) : resolve())))
}
