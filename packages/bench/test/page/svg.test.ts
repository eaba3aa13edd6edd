import fc from 'fast-check'
import { expect, test } from 'vitest'
import { barChart, escapeHtml, lineChart } from '../../src/page/svg.ts'

const two = (value: number): string => value.toFixed(2)
const log = { title: 'x', isLogarithmic: true, format: String }
const linear = { title: 'y', isLogarithmic: false, format: String }

const numbersIn = (svg: string): readonly number[] =>
  [...svg.matchAll(/ (?:x|y|x1|x2|y1|y2|cx|cy|width|height)="([^"]*)"/g)].map(([, value]) => Number(value))

test('a bar twice as long is twice as much, and its whiskers are the least and the most', () => {
  const svg = barChart(
    [
      { label: 'ours', value: 2, min: 1, max: 4, isOurs: true },
      { label: 'theirs', value: 1, min: 1, max: 1, isOurs: false },
    ],
    two,
  )
  const widths = [...svg.matchAll(/class="(ours|other)"[^>]*width="([\d.]+)"/g)].map(([, who, width]) => [
    who,
    Number(width),
  ])
  expect(widths).toEqual([
    ['ours', 200],
    ['other', 100],
  ])
  expect(svg).toContain('2.00 (1.00–4.00)')
  expect(svg).toContain('class="reference"')
})

test('a line goes where its points are: up is more', () => {
  const svg = lineChart(
    [
      {
        label: 'cost',
        points: [
          { x: 1, y: 10 },
          { x: 1_000, y: 20 },
        ],
      },
    ],
    log,
    linear,
  )
  const [, first, second] = /d="M([\d. ]+)L?([\d. ]+)?/.exec(svg.replaceAll(' L', 'L')) ?? []
  const [x1 = 0, y1 = 0] = first?.split(' ').map(Number) ?? []
  const [x2 = 0, y2 = 0] = second?.split(' ').map(Number) ?? []
  expect(x2).toBeGreaterThan(x1)
  expect(y2).toBeLessThan(y1)
})

test('any figures make a plot within its bounds, never one with a number that is none', () => {
  const value = fc.oneof(fc.double({ min: 0, max: 1e9 }), fc.constant(Number.NaN), fc.constant(Infinity))
  fc.assert(
    fc.property(fc.array(fc.record({ x: fc.integer({ min: 1, max: 1e6 }), y: value }), { maxLength: 8 }), (points) => {
      for (const axis of [log, linear]) {
        const svg = lineChart([{ label: 'a', points }], axis, axis)
        expect(svg).not.toMatch(/NaN|Infinity/)
        for (const each of numbersIn(svg)) expect(each).toBeGreaterThanOrEqual(-1)
      }
      const bars = points.map(({ y }) => ({ label: 'a', value: y, min: y, max: y, isOurs: false }))
      expect(barChart(bars, String)).not.toMatch(/NaN|Infinity/)
    }),
  )
})

test('what a label says is text', () => {
  expect(escapeHtml(`<b a="1">&'`)).toBe('&#60;b a=&#34;1&#34;&#62;&#38;&#39;')
  expect(barChart([{ label: '<script>', value: 1, min: 1, max: 1, isOurs: true }], two)).not.toContain('<script')
})
