/*
 * A supervisor that is replaced by a new one, of a new version perhaps, without a connection lost (SIGUSR2).
 *
 *   old                                   new
 *   starts it, the held sockets inherited
 *   ── inherit: sockets, ticket keys ──▶
 *                                         reads its configuration, starts its workers on the same sockets
 *   ◀── ready ──
 *   retires its workers, closes its admin endpoint; sessions end in their own time
 *   ── counts: all so far, then what its workers still count ──▶
 *   ends
 *
 * Both serve the same kernel sockets for a moment, so no connection waits and none is refused. A successor that ends before
 * it is ready has changed nothing.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { existsSync } from 'node:fs'
import { isAbsolute } from 'node:path'
import type { BindAddress } from '../config/schema.ts'
import { limits } from '../limits.ts'
import type { CountChange } from '../observe/counts.ts'
import { heldListener, inheritedSocket, type HeldListener } from './held-sockets.ts'

export interface InheritedAddress {
  readonly listener: string
  readonly bind: BindAddress
  readonly host: string
  readonly port: number
  readonly ipv6Only: boolean
  readonly isShared: boolean
  /** In the successor. */
  readonly fds: readonly number[]
}

/** What a supervisor leaves to its successor. Plain data, but for the descriptors that it names. */
export interface Inheritance {
  readonly type: 'inherit'
  readonly addresses: readonly InheritedAddress[]
  readonly ticketKeys: string
}

export interface LateCounts {
  readonly type: 'counts'
  readonly counts: readonly CountChange[]
}

type ToSuccessor = Inheritance | LateCounts

/** Says to a process that it is a successor; its workers do not see it. */
const mark = 'POSTERN_SUCCESSOR'

/** Descriptors 0 to 2 are the standard streams, 3 is the message channel. */
const firstInheritedFd = 4

// ── the old supervisor ──────────────────────────────────────────────────────

export class Successor {
  readonly #child: ChildProcess

  private constructor(child: ChildProcess) {
    this.#child = child
  }

  /**
   * Starts this program anew, as its files are now, with the same arguments.
   *
   * @returns the successor when it is ready; why not, when it ended or took too long.
   */
  static async start(held: readonly HeldListener[], ticketKeys: string): Promise<Successor | string> {
    const fds: number[] = []
    const addresses = held.map(({ listener, bind, host, port, ipv6Only, isShared, sockets }) => {
      const own = sockets.map((socket) => firstInheritedFd + fds.push(socket.fd()) - 1)
      return { listener, bind, host, port, ipv6Only, isShared, fds: own }
    })
    const child = spawn(nodeOfNow(), [...process.execArgv, ...process.argv.slice(1)], {
      stdio: ['inherit', 'inherit', 'inherit', 'ipc', ...fds],
      env: { ...process.env, [mark]: '1' },
    })
    const { promise, resolve } = Promise.withResolvers<Successor | string>()
    const giveUp = setTimeout(() => {
      resolve(`it was not ready within ${limits.successorStartMs / 1000} s`)
      child.kill('SIGKILL')
    }, limits.successorStartMs)
    child.on('error', (error) => resolve(error.message))
    child.on('exit', (code, signal) => resolve(`it ended with ${signal ?? code} before it was ready`))
    child.once('message', () => resolve(new Successor(child)))
    child.send({ type: 'inherit', addresses, ticketKeys } satisfies ToSuccessor, () => {})
    const outcome = await promise
    clearTimeout(giveUp)
    return outcome
  }

  get pid(): number {
    return this.#child.pid ?? 0
  }

  tell(counts: readonly CountChange[]): void {
    if (counts.length === 0 || !this.#child.connected) return
    this.#child.send({ type: 'counts', counts } satisfies ToSuccessor, () => {})
  }

  /** It is told to stop, and with it whoever went before. */
  onStop(listen: () => void): void {
    this.#child.on('message', listen)
  }

  stop(): void {
    this.#child.kill('SIGTERM')
  }

  /** It lives without us from here on. */
  leave(): void {
    if (this.#child.connected) this.#child.disconnect()
    this.#child.unref()
  }
}

/** An upgrade may bring another Node: the one that stands where ours was started from. */
function nodeOfNow(): string {
  return isAbsolute(process.argv0) && existsSync(process.argv0) ? process.argv0 : process.execPath
}

// ── the new supervisor ──────────────────────────────────────────────────────

export interface Predecessor {
  readonly inheritance: Inheritance
  /** @param slots - among how many the sockets are spread. */
  held(slots: number): readonly HeldListener[]
  /** What its workers still count. */
  onCounts(listen: (counts: readonly CountChange[]) => void): void
  ready(): void
  /** The service stops: its sessions take leave as well. */
  stop(): void
  /** Resolves when it has ended. */
  readonly gone: Promise<void>
}

/** Absent in a process that succeeds nobody. */
export async function awaitPredecessor(): Promise<Predecessor | undefined> {
  const isSuccessor = process.env[mark] !== undefined && process.connected
  delete process.env[mark]
  if (!isSuccessor) return undefined
  const gone = new Promise<void>((resolve) => process.once('disconnect', resolve))
  let onCounts: ((counts: readonly CountChange[]) => void) | undefined
  const inheritance = await new Promise<Inheritance>((resolve, reject) => {
    process.on('message', (message: ToSuccessor) => {
      if (message.type === 'inherit') resolve(message)
      else onCounts?.(message.counts)
    })
    void gone.then(() => reject(new Error('the supervisor before this one is gone')))
  })
  return {
    inheritance,
    held: (slots) =>
      inheritance.addresses.map(({ fds, ...address }) =>
        heldListener({ ...address, sockets: fds.map(inheritedSocket) }, slots),
      ),
    onCounts: (listen) => {
      onCounts = listen
    },
    ready: () => say('ready'),
    stop: () => say('stop'),
    gone,
  }
}

/** It may be gone; `gone` says so. */
function say(type: 'ready' | 'stop'): void {
  if (process.connected) process.send?.({ type }, undefined, undefined, () => {})
}
