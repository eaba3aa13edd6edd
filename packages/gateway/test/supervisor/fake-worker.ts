import type { SupervisedWorker, WorkerListeners } from '../../src/supervisor/worker-process.ts'

/** A worker without a process: the test says when it is ready and how it ends. */
export class FakeWorker implements SupervisedWorker {
  readonly slot = 0
  readonly serial: number
  readonly pid: number
  readonly startedAt = performance.now()
  readonly connections = 0
  readonly told: string[] = []
  readonly #listeners: WorkerListeners
  state: SupervisedWorker['state'] = 'starting'
  missedLooks = 0

  constructor(serial: number, listeners: WorkerListeners) {
    this.serial = serial
    this.pid = 1000 + serial
    this.#listeners = listeners
  }

  becomesReady(): void {
    this.state = 'ready'
    this.#listeners.onReady(this)
  }

  dies(): void {
    this.state = 'gone'
    this.#listeners.onExit(this, { code: null, signal: 'SIGKILL' })
  }

  send(): void {}

  drain(manner: string): void {
    this.state = 'draining'
    this.told.push(manner)
  }

  kill(): void {
    this.told.push('kill')
  }
}
