import { Writable } from 'node:stream'
import { expect, test } from 'vitest'
import { printResult } from '../../src/load/print.ts'
import { distributionOf, type LoadResult } from '../../src/load/result.ts'

const plain = { outputStream: new Writable() }

const result: LoadResult = {
  title: 'connect smtp',
  url: 'smtp://127.0.0.1:25',
  mode: 'connect',
  unit: 'connections',
  shortUnit: 'Conn',
  connections: 10,
  workers: 1,
  pipelining: 1,
  proxy: 'v2',
  setting: { date: '2026-01-01', node: 'v26', cpu: 'a processor', cores: 2, commit: 'abc' },
  start: '',
  finish: '',
  duration: 10,
  sampleInt: 1_000,
  samples: 10,
  latency: { ...distributionOf([0.5, 1, 2]), totalCount: 3 },
  requests: { ...distributionOf([900, 1_000, 1_100]), total: 10_000, sent: 10_002 },
  throughput: { ...distributionOf([30_000]), total: 300_000 },
  errors: 2,
  timeouts: 0,
  resets: 0,
  refused: 2,
  failedConnections: 0,
  examples: ['554 where 2 was awaited'],
  backlog: 0,
  open: 0,
  statusCodeStats: { 220: { count: 10_000 }, 554: { count: 2 }, OK: { count: 7 } },
  server: { pids: [1], processes: 2, cpuMs: 400, cores: 0.04, cpuUsPerOperation: 40, memoryBefore: 1, memory: 2 ** 20 },
  generator: { threads: 1, cpuUsPerOperation: 20, utilization: [0.97], isBottleneck: true },
  warnings: ['The generator was at the limit of a core'],
}

test('the tables are autocannon’s, about what was measured, and straight', () => {
  const text = printResult(result, { ...plain, renderStatusCodes: true })
  expect(text).toContain('Conn/Sec')
  expect(text).not.toContain('Req')
  expect(text).toContain('10k connections in 10s')
  expect(text).toMatch(/│ 554\s+│ 2\s+│/)
  const rows = text.split('\n').filter((line) => /^[┌├└│]/.test(line))
  const widths = new Map<string, number>()
  let table = 0
  for (const row of rows) {
    if (row.startsWith('┌')) table++
    const key = String(table)
    expect(row.length).toBe(widths.get(key) ?? row.length)
    widths.set(key, row.length)
  }
  expect(table).toBe(3)
})

test('what autocannon cannot know stands below: failures, replies in words, the server, the generator, warnings', () => {
  const text = printResult(result, { ...plain, renderStatusCodes: true })
  expect(text).toContain('Failed: 2 refused, 0 reset')
  expect(text).toContain('554 where 2 was awaited')
  expect(text).toContain('Replies: OK 7')
  expect(text).toContain('40.0 µs CPU each of the connections')
  expect(text).toContain('97 % of a core')
  expect(text).toContain('Warning: The generator was at the limit')
  expect(text).toContain('commit abc')
})
