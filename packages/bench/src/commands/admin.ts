import { parseArgs } from 'node:util'
import { count, type Command } from '../command.ts'
import { renderAdmin, runAdmin } from '../scenarios/admin.ts'

export const admin: Command = {
  summary: 'autocannon against the admin endpoint, alone and while mail comes in: does it stay responsive?',
  options: '[--seconds N] [--json]',
  async run(args) {
    const { values } = parseArgs({
      args: [...args],
      options: { seconds: { type: 'string', default: '5' }, json: { type: 'boolean', short: 'j', default: false } },
    })
    const report = await runAdmin(count('seconds', values.seconds))
    process.stdout.write(values.json ? `${JSON.stringify(report, undefined, 2)}\n` : renderAdmin(report))
    return report.rows.some(({ failed }) => failed > 0) ? 1 : 0
  },
}
