// One thread of the generator, started by bench.ts, which tells it when each part begins.
import { parentPort, workerData } from 'node:worker_threads'
import { Client, type Share } from './client.ts'

/** The parts of a run, in their order. */
export type Step = 'open' | 'start' | 'measure' | 'stop'

const client = new Client(workerData as Share)

parentPort?.on('message', (step: Step) => void take(step))

async function take(step: Step): Promise<void> {
  if (step === 'stop') {
    parentPort?.postMessage(client.stop())
    parentPort?.close()
  } else {
    await client[step]()
    parentPort?.postMessage(step)
  }
}
