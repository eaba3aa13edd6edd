// PX-36 and its kin: every codec over mutated inputs, from corpora in the tree. A moment for each with every change,
// minutes at night. An input that made something throw is written down, becomes a file of the corpus, and stays.
//
// POSTERN_FUZZ_SECONDS=600 npx vitest run --project end-to-end faults/fuzz      gives each target as long as is asked for
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { tellFigure } from './figure.ts'
import { mutationsOf } from './fuzz-mutations.ts'
import { targets } from './fuzz-targets.ts'
import { perTier } from './tier.ts'

const secondsEach = Number(process.env['POSTERN_FUZZ_SECONDS'] ?? perTier({ change: 0.25, nightly: 60, release: 600 }))
const corpora = join(import.meta.dirname, 'corpus')
/** Said again by a run that fails, so that it can be had again. */
const seed = Number(process.env['POSTERN_FUZZ_SEED'] ?? Date.now() % 2 ** 31)

test.each(Object.keys(targets).map((name) => [name] as const))(
  'PX-36: %s throws at no input',
  { timeout: 60_000 + secondsEach * 2_000 },
  async (name) => {
    const target = targets[name]
    if (target === undefined) throw new Error(`no target ${name}`)
    const folder = join(corpora, name)
    const corpus = readdirSync(folder).map((file) => readFileSync(join(folder, file)))
    expect(corpus.length).toBeGreaterThan(0)
    const mutations = mutationsOf(corpus, seed)
    const end = performance.now() + secondsEach * 1000
    let executions = 0
    while (executions < corpus.length || performance.now() < end) {
      const input = corpus[executions] ?? mutations.next().value
      executions += 1
      const begun = performance.now()
      try {
        await target(Buffer.from(input))
      } catch (error) {
        keep(name, input)
        throw new Error(`seed ${seed}, ${JSON.stringify(input.toString('latin1').slice(0, 200))}`, { cause: error })
      }
      // Far beyond what any input of this size may take. The clock goes on while others have the processor, so it is taken
      // once more, by what it costs.
      if (performance.now() - begun < 5_000) continue
      const before = process.cpuUsage()
      await target(Buffer.from(input))
      const { user, system } = process.cpuUsage(before)
      expect({ input: input.length, isSlow: user + system > 5_000_000 }).toMatchObject({ isSlow: false })
    }
    tellFigure(`${executions} inputs, 0 findings`)
  },
)

function keep(name: string, input: Buffer): void {
  const folder = join(corpora, name)
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, `found-${Date.now()}`), input)
}
