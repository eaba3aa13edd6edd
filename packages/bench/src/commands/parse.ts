import { parseArgs } from 'node:util'
import { count, type Command } from '../command.ts'
import { runParse } from '../micro/run-parse.ts'

export const parse: Command = {
  summary: 'nanoseconds and allocated bytes for a PROXY header: ours, a floor written by hand, and the npm libraries',
  options: '[--rounds N] [--round-ms MS] [--json]',
  async run(args) {
    const { values } = parseArgs({
      args: [...args],
      options: {
        rounds: { type: 'string', default: '15' },
        'round-ms': { type: 'string', default: '20' },
        json: { type: 'boolean', short: 'j', default: false },
      },
    })
    const rounds = count('rounds', values.rounds)
    const roundMs = count('round-ms', values['round-ms'])
    process.stdout.write(await runParse({ rounds, roundMs, asJson: values.json }))
    return 0
  },
}
