/*
 * Loaded into every process of a gateway by `--import`, beside `--expose-gc`: now and then each adds a line to a file with
 * its process id for a name, of how many octets its heap holds behind a collection. Resident memory says little of that: V8
 * collects late, and keeps for later what it has once been given.
 */
import { appendFileSync } from 'node:fs'
import { join } from 'node:path'
import { isMainThread } from 'node:worker_threads'

const { POSTERN_HEAPS_IN: folder = '', POSTERN_HEAPS_EVERY_MS: everyMs } = process.env

function measure(): void {
  globalThis.gc?.()
  appendFileSync(join(folder, `${process.pid}`), `${process.memoryUsage().heapUsed}\n`)
}

if (isMainThread) {
  measure()
  setInterval(measure, Number(everyMs)).unref()
}
