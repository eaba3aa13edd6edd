import { expect, test } from 'vitest'
import { connectionAims, renderDesign, smtpAims, type Aim } from '../../src/scenarios/design.ts'
import type { ContestRow } from '../../src/scenarios/contest.ts'
import { agreementOf } from '../../src/scenarios/validate.ts'
import { selfSamples } from '../../src/scenarios/profile.ts'
import { spread } from '../../src/spread.ts'

const where = { date: '2026-01-01', node: 'v26', cpu: 'a processor', cores: 2, commit: 'abc' }

function row(workload: string, contestant: string, ...perSecond: readonly number[]): ContestRow {
  const flat = spread([1])
  return {
    workload,
    unit: 'messages',
    contestant,
    measurements: perSecond.map((rate) => ({
      perSecond: rate,
      cpuUs: 1e6 / rate,
      p50Ms: 1,
      p99Ms: 1,
      errors: 0,
      generatorUs: 1,
      curve: [],
    })),
    perSecond: spread(perSecond),
    cpuUs: flat,
    p50Ms: flat,
    p99Ms: flat,
    errors: 0,
    warnings: [],
  }
}

const works = ['2 KB, kept open', '2 KB, kept open, pipelined', '64 KB, kept open', '2 KB, a connection each']
const aimsWith = (ours: number, others: readonly string[] = ['smtp-server', 'smtp-sink']): readonly Aim[] =>
  smtpAims({
    rows: works.flatMap((work) => [
      row(work, 'postern, discarding', ours, ours * 2),
      ...others.map((name) => row(work, name, 1_000, 2_000)),
    ]),
    idle: [{ contestant: 'postern, discarding', connections: 5_000, bytesPerConnection: 8 * 1_024 }],
  })

test('an aim is met by the median of the ratios, each within its round', () => {
  expect(aimsWith(2_500).map(({ isMet }) => isMet)).toEqual([true, true, true, true, true])
  expect(aimsWith(2_499).map(({ isMet }) => isMet)).toEqual([true, true, true, false, true])
  expect(aimsWith(999).map(({ isMet }) => isMet)).toEqual([false, false, false, false, true])
})

test('an aim against a server that is not there is not met, and says so', () => {
  const sink = aimsWith(9_000, ['smtp-server'])[2]
  expect(sink).toMatchObject({ isMet: false, ratio: 'smtp-sink is not installed' })
})

const connectionMet = (headerShare: number, timesBare: number): readonly boolean[] =>
  connectionAims([
    {
      server: 'Postern gateway, SMTP listener',
      header: 'v2 TCP4',
      cpuUs: spread([50]),
      headerUs: spread([2]),
      headerQuartilesUs: [2, 2],
      headerShare: spread([headerShare]),
      timesBare: spread([timesBare]),
      p50Us: 1,
      p99Us: 1,
    },
  ]).map(({ isMet }) => isMet)

test('the share of a header, and the distance to a bare server', () => {
  expect(connectionMet(0.05, 1.25)).toEqual([true, true])
  expect(connectionMet(0.051, 1.26)).toEqual([false, false])
})

test('a missed aim stands out in the text', () => {
  const text = renderDesign({
    setting: where,
    aims: aimsWith(999),
    profiles: [{ what: 'x', hotspots: [{ where: 'f a.ts:1', share: 0.5 }] }],
  })
  expect(text).toContain('MISSED')
  expect(text).toMatch(/f a\.ts:1 +50\.0 %/)
})

const frame = (functionName: string, url = '', lineNumber = 0) => ({ functionName, url, lineNumber })

test('a profile counts what each function did itself, without the idle time', () => {
  const counts = selfSamples({
    nodes: [
      { id: 1, callFrame: frame('(idle)') },
      { id: 2, callFrame: frame('parse', 'file:///home/me/packages/core/dist/parse.js', 9) },
      { id: 3, callFrame: frame('(garbage collector)') },
      { id: 4, callFrame: frame('parse', 'file:///home/me/packages/core/dist/parse.js', 9) },
    ],
    samples: [1, 2, 2, 3, 4, 1],
  })
  expect(Object.fromEntries(counts)).toEqual({ 'parse core/dist/parse.js:10': 3, '(garbage collector)': 1 })
})

const rowsOf = (...figures: readonly (readonly [name: string, ours: readonly number[], source: readonly number[]])[]) =>
  figures.map(([server, ours, source]) => ({ work: 'w', server, ours: spread(ours), smtpSource: spread(source) }))

test('two generators disagree only when a server is clearly faster for one and clearly slower for the other', () => {
  const same = agreementOf('w', rowsOf(['a', [3, 4], [30, 40]], ['b', [1, 2], [10, 20]]))
  expect(same).toMatchObject({ ours: ['a', 'b'], smtpSource: ['a', 'b'], agrees: true })
  expect(agreementOf('w', rowsOf(['a', [1, 4], [30, 40]], ['b', [2, 3], [10, 20]])).agrees).toBe(true)
  expect(agreementOf('w', rowsOf(['a', [3, 4], [10, 20]], ['b', [1, 2], [30, 40]])).agrees).toBe(false)
})
