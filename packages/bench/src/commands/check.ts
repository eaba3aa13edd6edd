import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { count, type Command } from '../command.ts'
import { check, readBaseline, record, renderFindings } from '../scenarios/check.ts'
import { onStderr } from './progress.ts'

/** Beside the sources: it is reviewed with what changes it. */
const stored = fileURLToPath(new URL('../../baseline.json', import.meta.url))

export const guardRatios: Command = {
  summary:
    'fails when a connection or a message costs more CPU, as a ratio to other servers, than in the stored run (Linux)',
  options: '[--record] [--baseline FILE] [--only WORD,…] [--rounds N] [--slow-us N] [--json]',
  async run(args) {
    const { values } = parseArgs({
      args: [...args],
      options: {
        record: { type: 'boolean', default: false },
        baseline: { type: 'string', default: stored },
        only: { type: 'string', default: '' },
        rounds: { type: 'string', default: '20' },
        'slow-us': { type: 'string' },
        json: { type: 'boolean', short: 'j', default: false },
      },
    })
    const options = {
      rounds: count('rounds', values.rounds),
      seconds: 0.15,
      warmupSeconds: 0.05,
      warmupRounds: 3,
      only: values.only === '' ? [] : values.only.split(','),
      slowUs: values['slow-us'] === undefined ? 0 : count('slow-us', values['slow-us']),
      onProgress: onStderr(),
    }
    if (values.record) {
      writeFileSync(values.baseline, `${JSON.stringify(await record(options), undefined, 2)}\n`)
      return 0
    }
    const findings = await check(readBaseline(values.baseline), options)
    process.stdout.write(values.json ? `${JSON.stringify(findings, undefined, 2)}\n` : renderFindings(findings))
    return findings.some(({ isRegression }) => isRegression) ? 1 : 0
  },
}
