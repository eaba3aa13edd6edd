import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { temporaryFolder } from '../kit/folder.ts'
import { run, type Outcome } from '../kit/run.ts'

const bench = fileURLToPath(new URL('../../packages/bench/dist/main.js', import.meta.url))

/** Of core's front only: its connections are the cheapest, and what is added to them shows most. */
function check(...options: readonly string[]): Promise<Outcome> {
  return run(process.execPath, [bench, 'check', '--only', 'front', '--rounds', '5', ...options], {
    timeoutMs: 180_000,
  })
}

/**
 * A machine that somebody else used meanwhile says nothing of the guard: then it is asked again. With five rounds one of four
 * tells nothing on a quiet machine either.
 */
const maxTries = 8

test('20 µs more for each connection are noticed, and nothing more is not', { timeout: 900_000 }, async () => {
  const told: string[] = []
  for (let tries = 0; tries < maxTries; tries++) {
    const baseline = join(temporaryFolder('baseline'), 'baseline.json')
    expect(await check('--record', '--baseline', baseline)).toMatchObject({ code: 0, stderr: '' })
    const same = await check('--baseline', baseline)
    const slow = await check('--baseline', baseline, '--slow-us', '20')
    told.push(same.stdout, slow.stdout)
    if (/ ok$/m.test(same.stdout) && same.code === 0 && slow.stdout.includes('REGRESSION') && slow.code === 1) return
  }
  expect.fail(told.join('\n'))
})
