import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { temporaryFolder } from '../kit/folder.ts'
import { run, type Outcome } from '../kit/run.ts'

const bench = fileURLToPath(new URL('../../packages/bench/dist/main.js', import.meta.url))

/** Of core's front only: its connections are the cheapest, and what is added to them shows most. */
function check(...options: readonly string[]): Promise<Outcome> {
  return run(process.execPath, [bench, 'check', '--only', 'front', '--rounds', '10', ...options], {
    timeoutMs: 180_000,
  })
}

test('20 µs more for each connection are noticed, and nothing more is not', { timeout: 400_000 }, async () => {
  const baseline = join(temporaryFolder('baseline'), 'baseline.json')
  expect(await check('--record', '--baseline', baseline)).toMatchObject({ code: 0, stderr: '' })
  expect(await check('--baseline', baseline)).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/ ok$/m) as string,
  })
  const slow = await check('--baseline', baseline, '--slow-us', '20')
  expect(slow).toMatchObject({ code: 1, stdout: expect.stringContaining('REGRESSION') as string })
})
