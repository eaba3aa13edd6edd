import { expect, test } from 'vitest'
import { cpuNsOf, runNs } from '../../src/connection/server-cpu.ts'

test('the first number of a schedstat is the time a thread ran', () => {
  expect(runNs('174831944 125972714 486\n')).toBe(174_831_944)
})

test.runIf(process.platform === 'linux')('a process that works has run longer', () => {
  const before = cpuNsOf(process.pid)
  const start = performance.now()
  let sum = 0
  while (performance.now() - start < 20) sum += Math.sqrt(sum + 1)
  expect(cpuNsOf(process.pid) - before).toBeGreaterThan(1_000_000)
})
