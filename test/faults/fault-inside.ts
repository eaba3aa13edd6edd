/*
 * Loaded into every process of a gateway by `--import`: a worker whose process id is the name of a file in the folder
 * POSTERN_FAULTS_IN has what the file says happen to it.
 */
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'

const happenings: Readonly<Record<string, () => void>> = {
  rejection: () => void Promise.reject(new Error('a rejection that nobody hears')),
  throw: () => {
    throw new Error('a throw that nobody catches')
  },
  heap: () => {
    const kept: number[][] = []
    // In large pieces, with little work for each: a worker that takes long over it would be killed, as one that hangs.
    for (;;) kept.push(Array<number>(2_000_000).fill(0))
  },
}

const file = join(process.env['POSTERN_FAULTS_IN'] ?? '', `${process.pid}`)
setInterval(() => {
  if (!existsSync(file)) return
  const what = readFileSync(file, 'utf8')
  if (what === '') return
  rmSync(file)
  happenings[what]?.()
}, 20).unref()
