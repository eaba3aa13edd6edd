import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { limits } from '../../src/limits.ts'
import { Counts, type CountChange } from '../../src/observe/counts.ts'
import { buckets, labelsOf, metricOf, metrics, type MetricName } from '../../src/observe/metric-catalogue.ts'
import { Exposition } from '../../src/observe/prometheus.ts'

/** As it comes out at the other end of a channel between processes. */
const carried = (changes: readonly CountChange[]): readonly CountChange[] =>
  JSON.parse(JSON.stringify(changes)) as readonly CountChange[]

describe('what workers count', () => {
  test('is added up, whenever it is told and whoever dies between', () => {
    const step = fc.record({
      worker: fc.nat(2),
      listener: fc.constantFrom('mx', 'imap'),
      act: fc.constantFrom('count', 'observe', 'tell', 'die'),
      by: fc.integer({ min: 1, max: 1000 }),
    })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const sums = new Counts()
        const workers = [new Counts(), new Counts(), new Counts()]
        /** What each worker counted and has not told. */
        const untold = [0, 0, 0]
        let told = 0
        let observed = 0
        let before = 0
        for (const { worker, listener, act, by } of steps) {
          const counts = workers[worker]!
          if (act === 'count') {
            counts.count('postern_commands_total', listener).value += by
            untold[worker]! += by
          } else if (act === 'observe') {
            counts.distribution('postern_proxy_header_wait_seconds', listener).observe(by / 1000)
            sums.add(carried(counts.takeChanges()))
            observed++
            told += untold[worker]!
            untold[worker] = 0
          } else if (act === 'tell') {
            sums.add(carried(counts.takeChanges()))
            told += untold[worker]!
            untold[worker] = 0
          } else {
            workers[worker] = new Counts()
            untold[worker] = 0
          }
          const now = sums.sumOf('postern_commands_total')
          expect(now).toBeGreaterThanOrEqual(before)
          before = now
        }
        expect(sums.sumOf('postern_commands_total')).toBe(told)
        const all = sums.distributionsOf('postern_proxy_header_wait_seconds').flatMap(({ held }) => held.buckets)
        expect(all.reduce((sum, count) => sum + count, 0)).toBe(observed)
      }),
    )
  })

  test('is told once, and only what changed', () => {
    const counts = new Counts()
    counts.count('postern_commands_total', 'mx').value = 3
    counts.count('postern_commands_total', 'imap')
    counts.distribution('postern_proxy_header_wait_seconds', 'mx').observe(0.002)
    expect(counts.takeChanges()).toEqual([
      ['postern_commands_total', ['mx'], 3],
      ['postern_proxy_header_wait_seconds', ['mx'], [0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0.002]],
    ])
    expect(counts.takeChanges()).toEqual([])
  })

  test('of a metric that gets out of hand the memory is bounded, and nothing is lost', () => {
    const counts = new Counts()
    for (let index = 0; index < 2 * limits.maxSeriesOfMetric; index++) {
      counts.count('postern_commands_total', `listener-${index}`).value++
    }
    expect(counts.countsOf('postern_commands_total').length).toBe(limits.maxSeriesOfMetric + 1)
    expect(counts.count('postern_commands_total', 'others').value).toBe(limits.maxSeriesOfMetric)
    expect(counts.sumOf('postern_commands_total')).toBe(2 * limits.maxSeriesOfMetric)
  })
})

describe('what Prometheus reads', () => {
  const names = Object.keys(metrics) as MetricName[]

  test('follows its rules for names', () => {
    for (const name of names) {
      expect(name).toMatch(/^postern_[a-z_]+$/)
      expect([name, name.endsWith('_total')]).toEqual([name, metricOf(name).type === 'counter'])
      expect([name, metricOf(name).type === 'histogram']).toEqual([name, metricOf(name).buckets !== undefined])
      for (const label of labelsOf(name)) expect(label).toMatch(/^[a-z_]+$/)
    }
    for (const bounds of Object.values(buckets)) expect([...bounds].sort((a, b) => a - b)).toEqual(bounds)
  })

  test('has every metric, with what it is, also before anything was counted', async () => {
    const text = await new Exposition(new Counts()).text()
    for (const name of names) expect(text).toContain(`# TYPE ${name} ${metricOf(name).type}\n`)
  })

  test('buckets add up from the smallest to the largest', async () => {
    const counts = new Counts()
    const wait = counts.distribution('postern_proxy_header_wait_seconds', 'mx')
    for (const seconds of [0.0001, 0.001, 0.02, 99]) wait.observe(seconds)
    counts.count('postern_connections_total', 'mx', 'quit').value = 7
    const text = await new Exposition(counts).text()
    expect(text).toContain('postern_connections_total{listener="mx",outcome="quit"} 7\n')
    const lines = text.split('\n').filter((line) => line.startsWith('postern_proxy_header_wait_seconds_'))
    expect(lines.map((line) => line.replace('postern_proxy_header_wait_seconds_', ''))).toEqual([
      'bucket{listener="mx",le="0.0005"} 1',
      'bucket{listener="mx",le="0.001"} 2',
      'bucket{listener="mx",le="0.0025"} 2',
      'bucket{listener="mx",le="0.005"} 2',
      'bucket{listener="mx",le="0.01"} 2',
      'bucket{listener="mx",le="0.05"} 3',
      'bucket{listener="mx",le="0.25"} 3',
      'bucket{listener="mx",le="1"} 3',
      'bucket{listener="mx",le="5"} 3',
      'bucket{listener="mx",le="30"} 3',
      'bucket{listener="mx",le="+Inf"} 4',
      'sum{listener="mx"} 99.0211',
      'count{listener="mx"} 4',
    ])
  })

  test('a gauge of what is gone is gone', async () => {
    const counts = new Counts()
    counts.count('postern_workers', 'ready').value = 2
    const exposition = new Exposition(counts)
    expect(await exposition.text()).toContain('postern_workers{state="ready"} 2\n')
    counts.forgetGauges()
    expect(await exposition.text()).not.toContain('postern_workers{')
  })
})
