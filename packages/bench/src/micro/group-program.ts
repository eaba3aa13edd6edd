// Measures the cases of one group, in a thread started by run-parse.ts.
import { parentPort, workerData } from 'node:worker_threads'
import { measureTogether, type MeasureOptions } from './measure.ts'
import { parseCases } from './parse.ts'

const { group, ...options } = workerData as MeasureOptions & { readonly group: string }
parentPort?.postMessage(
  measureTogether(
    parseCases().filter((each) => each.group === group),
    options,
  ),
)
