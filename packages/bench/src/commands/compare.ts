import { parseArgs } from 'node:util'
import type { Command } from '../command.ts'
import { renderCompare, runCompare } from '../scenarios/compare.ts'
import { contestFlags, contestOptions } from './contest-flags.ts'

export const compare: Command = {
  summary: 'every installed server in one run: a connection with a PROXY header, and a message (Linux)',
  options: '[--quick] [--rounds N] [--seconds N] [--json]',
  async run(args) {
    const { values } = parseArgs({ args: [...args], options: contestFlags })
    const report = await runCompare(contestOptions(values, 7))
    process.stdout.write(values.json ? `${JSON.stringify(report, undefined, 2)}\n` : renderCompare(report))
    return 0
  },
}
