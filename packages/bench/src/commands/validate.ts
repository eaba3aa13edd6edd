import { parseArgs } from 'node:util'
import { count, type Command } from '../command.ts'
import { renderValidation, runValidation } from '../scenarios/validate.ts'
import { onStderr } from './progress.ts'

export const validate: Command = {
  summary: 'this generator beside smtp-source, which is C: do they put the servers in the same order? (Linux)',
  options: '[--rounds N] [--seconds N] [--json]',
  async run(args) {
    const { values } = parseArgs({
      args: [...args],
      options: {
        rounds: { type: 'string', default: '3' },
        seconds: { type: 'string', default: '1' },
        json: { type: 'boolean', short: 'j', default: false },
      },
    })
    const report = await runValidation({
      rounds: count('rounds', values.rounds),
      seconds: count('seconds', values.seconds),
      onProgress: onStderr(),
    })
    process.stdout.write(values.json ? `${JSON.stringify(report, undefined, 2)}\n` : renderValidation(report))
    return report.agreements.every(({ agrees }) => agrees) ? 0 : 1
  },
}
