/*
 * A worker process. Signals are the supervisor's business; a worker does what messages tell it, and ends when there is
 * nobody left to tell it anything.
 */
import { limits } from '../limits.ts'
import { openLog, type LogSink } from '../observe/logger.ts'
import { WorkerLog } from '../observe/worker-log.ts'
import type { ToSupervisor, ToWorker, WorkerStart } from '../supervisor/messages.ts'
import { Worker } from './worker.ts'

// A terminal sends Ctrl-C to every process of the group, and systemd SIGTERM to every process of the unit.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGUSR2'] as const) process.on(signal, () => {})

let running: { readonly worker: Worker; readonly sink: LogSink; readonly drainTimeoutMs: number } | undefined

process.on('message', (message: ToWorker) => {
  if (message.type === 'start') void begin(message)
  else if (message.type === 'drain') void finish(message.manner, message.withinMs)
  else running?.worker.receive(message)
})

process.on('disconnect', () => void finish('stop', running?.drainTimeoutMs ?? 0))

// Both are bugs, and nobody knows in what state they leave the rest: this worker ends, the others go on.
process.on('uncaughtException', (error) => void endByFault(error))
process.on('unhandledRejection', (error) => void endByFault(error))

async function begin(start: WorkerStart): Promise<void> {
  const { slot, serial, config } = start
  const sink = openLog(config.live.logLevel, { process: 'worker', pid: process.pid, slot, worker: serial })
  const worker = new Worker(start, send, sink.logger)
  running = { worker, sink, drainTimeoutMs: config.live.limits.drainTimeoutMs }
  await worker.listen()
  send({ type: 'ready' })
  setInterval(() => send({ type: 'alive', connections: worker.connections }), limits.aliveEveryMs)
  setInterval(() => send(worker.takeNews()), limits.countsEveryMs)
}

async function finish(manner: 'retire' | 'stop', withinMs: number): Promise<void> {
  await running?.worker.drain(manner, withinMs)
  if (running !== undefined) await sendLast(running.worker.takeNews())
  await running?.sink.flush()
  process.exit(0)
}

async function endByFault(error: unknown): Promise<void> {
  if (running === undefined) {
    process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`)
  } else {
    new WorkerLog(running.sink.logger).fault(error)
    await running.sink.flush()
  }
  process.exit(1)
}

/** What is sent right before the exit would be lost. */
function sendLast(message: ToSupervisor): Promise<void> {
  return new Promise((resolve) => {
    if (process.connected) process.send?.(message, undefined, undefined, () => resolve())
    else resolve()
  })
}

/** The supervisor may be gone; `disconnect` says so. */
function send(message: ToSupervisor): void {
  if (process.connected) process.send?.(message, undefined, undefined, () => {})
}
