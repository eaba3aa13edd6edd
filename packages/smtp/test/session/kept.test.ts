// What is kept of what a client said must hold no buffer that it came in.
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect, test } from 'vitest'
import { LineReader } from '@postern/core'
import { parseForwardPath } from '../../src/wire/path.ts'
import { limits } from '../../src/limits.ts'

test('JS-05: two thousand recipients, each out of a read of 64 KiB, keep no read in memory', async () => {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const reads = 2_000
  const kept: unknown[] = []
  collect()
  const before = used()
  for (let n = 0; n < reads; n++) {
    const reader = new LineReader(65_536)
    reader.push(Buffer.concat([Buffer.from(`<recipient-${n}@example.org>\r\n`), Buffer.alloc(65_000, 'x')]))
    const line = reader.next()
    if (line.kind !== 'line') throw new Error('a line')
    const path = parseForwardPath(line.bytes.toString('latin1'), 0, limits)
    if (!path.ok) throw new Error(path.code)
    kept.push(path.value.mailbox)
  }
  // All reads together were 124 MiB; what else a test runner does meanwhile is some. V8 gives back what buffers held behind the
  // collection, in a thread of its own.
  await expect
    .poll(() => {
      collect()
      return used() - before
    })
    .toBeLessThan(48 * 2 ** 20)
  expect(kept.length).toBe(reads)
})

function used(): number {
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}
