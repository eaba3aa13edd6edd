import { expect, test, vi } from 'vitest'
import { judgeRatios, renderFindings, type Baseline } from '../../src/scenarios/check.ts'

const baseline: Baseline = {
  setting: { date: '', node: '', cpu: '', cores: 1, commit: '' },
  ratios: [
    { name: 'quiet', ratio: 2, noise: 0.01 },
    { name: 'noisy', ratio: 2, noise: 0.2 },
    { name: 'hopeless', ratio: 2, noise: 3 },
  ],
}

function judge(...runs: readonly Readonly<Record<string, number>>[]): ReturnType<typeof judgeRatios> {
  const measure = vi.fn<() => Promise<ReadonlyMap<string, number>>>()
  for (const run of runs) measure.mockResolvedValueOnce(new Map(Object.entries(run)))
  return judgeRatios(baseline, measure)
}

test.each<[name: string, measured: number, isRegression: boolean]>([
  ['quiet', 2.2, false],
  ['quiet', 2.25, true],
  ['noisy', 2.35, false],
  ['noisy', 2.45, true],
  ['hopeless', 2.55, false],
  ['hopeless', 2.65, true],
  ['never stored', 99, false],
])('%s, at %d: %o', async (name, measured, isRegression) => {
  const [finding] = await judge({ [name]: measured }, { [name]: measured }, { [name]: measured })
  expect(finding?.isRegression).toBe(isRegression)
})

test('what was over once and is not again was something else', async () => {
  const [finding] = await judge({ quiet: 4 }, { quiet: 2 }, { quiet: 2 })
  expect(finding).toMatchObject({ isRegression: false, measured: [4, 2, 2] })
})

test('one that is over its bound most of the time is a regression, and is named', async () => {
  const findings = await judge({ quiet: 4, noisy: 2 }, { quiet: 2.1, noisy: 2 }, { quiet: 4, noisy: 2 })
  expect(findings.map(({ isRegression }) => isRegression)).toEqual([true, false])
  expect(renderFindings(findings)).toMatch(/quiet +2\.00 +2\.24 +4\.00, 2\.10, 4\.00 +REGRESSION/)
})

test('one that a third measuring cannot clear is not measured for a third time', async () => {
  const [finding] = await judge({ quiet: 4 }, { quiet: 4 }, { quiet: 2 })
  expect(finding).toMatchObject({ isRegression: true, measured: [4, 4] })
})
