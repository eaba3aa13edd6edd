import { expect, test } from 'vitest'
import { cpuBars, latencyCurves, renderPage, scalingPlots } from '../../src/page/page.ts'
import type { ContestRow } from '../../src/scenarios/contest.ts'
import { spread } from '../../src/spread.ts'

const where = { date: '2026-01-01T00:00:00Z', node: 'v26', cpu: 'a processor', cores: 2, commit: 'abc' }

function row(contestant: string, cpuUs: readonly number[]): ContestRow {
  const measurements = cpuUs.map((us) => ({
    perSecond: 1_000,
    cpuUs: us,
    p50Ms: 1,
    p99Ms: 2,
    errors: 0,
    generatorUs: 10,
    curve: [
      [50, 1],
      [99, 2],
    ] as const,
  }))
  const flat = spread([1])
  return {
    workload: 'mail',
    unit: 'messages',
    contestant,
    measurements,
    perSecond: flat,
    cpuUs: spread(cpuUs),
    p50Ms: flat,
    p99Ms: flat,
    errors: 0,
    warnings: [],
  }
}

const rows = [row('postern', [10, 20]), row('peer', [20, 60])]

test('half the CPU is twice the work, round by round', () => {
  const [plot] = cpuBars(rows, 'peer')
  expect(plot?.title).toContain('peer = 1')
  // Twice in the first round, three times in the second.
  expect(plot?.svg).toContain('3.00 (2.00–3.00)')
  expect(cpuBars(rows, 'nobody')).toEqual([])
})

test('the page opens without a network: nothing in it is somewhere else, and nothing runs', () => {
  const scaling = [{ name: 's', of: 'x', unit: 'u', points: [{ x: 1, perSecond: spread([1]), cpuUs: spread([2]) }] }]
  const plots = [...cpuBars(rows, 'peer'), ...latencyCurves(rows), ...scalingPlots(scaling)]
  const page = renderPage(
    'Measured <here>',
    where,
    [{ what: 'speed', aim: '≤ 1', measured: '2', ratio: '', isMet: false }],
    [{ title: 'Mail', about: 'a & b', plots, text: '<figures>' }],
  )
  expect(page).not.toMatch(/<script|src=|@import|url\(|<link/)
  expect(
    [...page.matchAll(/https?:\/\/[^"\s]*/g)].map(([url]) => url).filter((url) => !url.includes('w3.org/2000/svg')),
  ).toEqual([])
  expect(page).toContain('&#60;figures&#62;')
  expect(page).toContain('class="missed"')
  expect(page.match(/<svg/g)).toHaveLength(3)
})
