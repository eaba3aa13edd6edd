// The compiled parser, as it is published: what the tests run has passed through a bundler, and is slower.
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { run } from '../kit/run.ts'

const bench = fileURLToPath(new URL('../../packages/bench/dist/main.js', import.meta.url))

function guard(...options: readonly string[]): ReturnType<typeof run> {
  return run(process.execPath, [bench, 'guard', ...options], { timeoutMs: 50_000 })
}

test('every group is measured, ours first', async () => {
  const { code, stdout } = await run(process.execPath, [bench, 'parse', '--rounds', '1', '--round-ms', '1', '--json'], {
    timeoutMs: 50_000,
  })
  expect(code).toBe(0)
  const { rows } = JSON.parse(stdout) as { rows: readonly { group: string; name: string; ns: { median: number } }[] }
  const first = new Map(rows.toReversed().map(({ group, name }) => [group, name]))
  expect(first.size).toBe(10)
  expect([...first.values()].every((name) => name.startsWith('core: '))).toBe(true)
  expect(rows.every(({ ns }) => ns.median > 0)).toBe(true)
})

test('a v2 header is read within a multiple of the floor that is written by hand', async () => {
  expect(await guard()).toEqual({ code: 0, stdout: expect.stringContaining('against the floor') as string, stderr: '' })
})

test('a parser slower than the multiple fails', async () => {
  const { code, stdout } = await guard('--at-most', '0.01')
  expect({ code, stdout }).toEqual({ code: 1, stdout: expect.stringContaining('of 0.01 allowed') as string })
})
