import { parseArgs } from 'node:util'
import { count, type Command } from '../command.ts'
import { renderCompare, runCompare } from '../scenarios/compare.ts'
import { onStderr } from './progress.ts'

export const compare: Command = {
  summary: 'every installed server in one run: a connection with a PROXY header, and a message (Linux)',
  options: '[--quick] [--rounds N] [--seconds N] [--json]',
  async run(args) {
    const { values } = parseArgs({
      args: [...args],
      options: {
        quick: { type: 'boolean', default: false },
        rounds: { type: 'string' },
        seconds: { type: 'string' },
        json: { type: 'boolean', short: 'j', default: false },
      },
    })
    const report = await runCompare({
      rounds: count('rounds', values.rounds ?? (values.quick ? '3' : '7')),
      seconds: count('seconds', values.seconds ?? (values.quick ? '1' : '2')),
      warmupSeconds: 0.3,
      onProgress: onStderr(),
    })
    process.stdout.write(values.json ? `${JSON.stringify(report, undefined, 2)}\n` : renderCompare(report))
    return 0
  },
}
