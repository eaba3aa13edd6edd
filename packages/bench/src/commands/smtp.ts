import { parseArgs } from 'node:util'
import { count, type Command } from '../command.ts'
import { renderSmtp, runSmtp } from '../scenarios/smtp.ts'
import { contestFlags, contestOptions } from './contest-flags.ts'

export const smtp: Command = {
  summary: 'messages a second and server CPU for each: ours, smtp-server, haraka, smtp-sink; and idle memory (Linux)',
  options: '[--quick] [--rounds N] [--seconds N] [--connections N] [--workers 1,2] [--only WORD,…] [--idle N] [--json]',
  async run(args) {
    const { values } = parseArgs({
      args: [...args],
      options: {
        ...contestFlags,
        connections: { type: 'string', default: '32' },
        workers: { type: 'string', default: '1,2' },
        only: { type: 'string', default: '' },
        idle: { type: 'string', default: '5000' },
      },
    })
    const report = await runSmtp({
      ...contestOptions(values, 7),
      connections: count('connections', values.connections),
      workers: values.workers.split(',').map((each) => count('workers', each)),
      only: values.only === '' ? [] : values.only.split(','),
      idleConnections: count('idle', values.idle),
    })
    process.stdout.write(values.json ? `${JSON.stringify(report, undefined, 2)}\n` : renderSmtp(report))
    return 0
  },
}
