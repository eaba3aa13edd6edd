import { expect, test } from 'vitest'
import { inTurn, meanOf, sumUp, type Sample } from '../../src/connection/cost.ts'

const samples = (...cpu: readonly number[]): Sample[] => cpu.map((cpuUs) => ({ cpuUs, latenciesUs: [1] }))

test('a header’s cost is taken inside each round, and so outlives a machine that doubles its time', () => {
  const figure = sumUp(samples(105, 210, 420), samples(100, 200, 400), samples(50, 100, 200))
  expect(figure.headerUs).toEqual({ median: 10, min: 5, max: 20 })
  expect(figure.headerQuartilesUs).toEqual([5, 20])
  expect(figure.headerShare.median).toBeCloseTo(5 / 105)
  expect(figure.headerShare.min).toBeCloseTo(figure.headerShare.max)
  expect(figure.timesBare).toEqual({ median: 2.1, min: 2.1, max: 2.1 })
  expect(figure.cpuUs).toEqual({ median: 210, min: 105, max: 420 })
})

test('a row against itself costs nothing', () => {
  const row = samples(30, 10, 20)
  const { headerUs, headerShare, timesBare } = sumUp(row, row, row)
  expect([headerUs.median, headerShare.median, timesBare.median]).toEqual([0, 0, 1])
})

test('latencies: the percentile of each round, then the median of the rounds, so that one bad round is one', () => {
  const row = [1, 50, 2].map((factor) => ({
    cpuUs: 1,
    latenciesUs: Array.from({ length: 100 }, (_, i) => (i + 1) * factor),
  }))
  expect(sumUp(row, row, row)).toMatchObject({ p50Us: 100, p99Us: 198 })
})

test('rounds go forwards and backwards in turn', () => {
  expect([0, 1, 2].map((round) => inTurn(['a', 'b', 'c'], round).join(''))).toEqual(['abc', 'cba', 'abc'])
})

test('what was measured before and behind is taken at its middle', () => {
  const [before, behind] = samples(100, 140)
  expect(meanOf(before!, behind!)).toEqual({ cpuUs: 120, latenciesUs: [1, 1] })
})
