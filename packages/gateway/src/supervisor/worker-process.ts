import { fork, type ChildProcess } from 'node:child_process'
import { extname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { limits } from '../limits.ts'
import type { DrainManner, FromReadyWorker, ToSupervisor, ToWorker, WorkerStart } from './messages.ts'

/** The file a worker runs, beside this one in the sources as in the build. */
const workerFile = new URL(`../worker/main${extname(fileURLToPath(import.meta.url))}`, import.meta.url)

/** Descriptors 0 to 2 are the standard streams, 3 is the message channel; the listening sockets follow. */
const firstInheritedFd = 4

/** Threads of the pool that file calls and password hashes share. Node's four would let hashes starve the disk. */
const poolThreads = '12'

/**
 * Heaps that malloc keeps, where it is glibc's. It would give each thread of the pool one, and each would keep the
 * 20 MB of a password hash for good: 470 MB in a worker after a minute of guessing, 160 MB with two heaps.
 */
const mallocArenas = '2'

/** A worker as its slot sees it. */
export interface SupervisedWorker {
  readonly slot: number
  readonly serial: number
  readonly pid: number
  readonly startedAt: number
  readonly state: 'starting' | 'ready' | 'draining' | 'gone'
  readonly connections: number
  /** Looks of the supervisor since the worker said something. */
  missedLooks: number
  send(message: ToWorker): void
  drain(manner: DrainManner, withinMs: number): void
  kill(): void
}

export interface WorkerListeners {
  readonly onReady: (worker: SupervisedWorker) => void
  readonly onMessage: (worker: SupervisedWorker, message: FromReadyWorker) => void
  /** The process is gone; told once, whatever the reason. */
  readonly onExit: (worker: SupervisedWorker, how: WorkerEnd) => void
}

export interface WorkerEnd {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

/** One worker process, forked when it is made. */
export class WorkerProcess implements SupervisedWorker {
  readonly slot: number
  readonly serial: number
  readonly startedAt: number = performance.now()
  state: SupervisedWorker['state'] = 'starting'
  connections = 0
  missedLooks = 0
  readonly #child: ChildProcess
  readonly #startDeadline: NodeJS.Timeout

  constructor(
    start: Omit<WorkerStart, 'type' | 'listeners'>,
    sockets: readonly { readonly listener: string; readonly fd: number }[],
    listeners: WorkerListeners,
  ) {
    this.slot = start.slot
    this.serial = start.serial
    this.#child = fork(workerFile, [], {
      // A signal from another process of the same user would open a debugger, and with it the mail and its keys.
      execArgv: [...process.execArgv, '--disable-sigusr1'],
      stdio: ['ignore', 'inherit', 'inherit', 'ipc', ...sockets.map((socket) => socket.fd)],
      env: { UV_THREADPOOL_SIZE: poolThreads, MALLOC_ARENA_MAX: mallocArenas, ...process.env },
    })
    this.#startDeadline = setTimeout(() => this.kill(), limits.workerStartMs)
    this.#child.on('message', (message: ToSupervisor) => {
      this.missedLooks = 0
      if (message.type === 'alive') {
        this.connections = message.connections
      } else if (message.type === 'ready') {
        clearTimeout(this.#startDeadline)
        if (this.state === 'starting') this.state = 'ready'
        listeners.onReady(this)
      } else {
        listeners.onMessage(this, message)
      }
    })
    const end = (how: WorkerEnd): void => {
      if (this.state === 'gone') return
      clearTimeout(this.#startDeadline)
      this.state = 'gone'
      listeners.onExit(this, how)
    }
    // `error`: it could not be forked, or not be killed; `exit` follows only in the second case.
    this.#child.on('error', () => {
      if (this.#child.pid === undefined) end({ code: null, signal: null })
    })
    // What it said last may still be in the channel.
    this.#child.on('exit', (code, signal) => {
      if (this.#child.connected) this.#child.once('disconnect', () => end({ code, signal }))
      else end({ code, signal })
    })
    this.send({
      type: 'start',
      ...start,
      listeners: sockets.map(({ listener }, index) => ({ listener, fd: firstInheritedFd + index })),
    })
  }

  get pid(): number {
    return this.#child.pid ?? 0
  }

  /** A send to a worker that just died throws or reports an error; either way its exit is told by `onExit`. */
  send(message: ToWorker): void {
    if (!this.#child.connected) return
    try {
      this.#child.send(message, ignore)
    } catch {
      // As above.
    }
  }

  drain(manner: DrainManner, withinMs: number): void {
    this.state = this.state === 'gone' ? 'gone' : 'draining'
    this.send({ type: 'drain', manner, withinMs })
  }

  kill(): void {
    this.#child.kill('SIGKILL')
  }
}

function ignore(): void {}
