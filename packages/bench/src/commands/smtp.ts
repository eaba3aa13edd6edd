import { parseArgs } from 'node:util'
import { count, type Command } from '../command.ts'
import { renderSmtp, runSmtp } from '../scenarios/smtp.ts'
import { onStderr } from './progress.ts'

export const smtp: Command = {
  summary: 'messages a second and server CPU for each: ours, smtp-server, haraka, smtp-sink; and idle memory (Linux)',
  options: '[--quick] [--rounds N] [--seconds N] [--connections N] [--workers 1,2] [--only WORD,…] [--idle N] [--json]',
  async run(args) {
    const { values } = parseArgs({
      args: [...args],
      options: {
        quick: { type: 'boolean', default: false },
        rounds: { type: 'string' },
        seconds: { type: 'string' },
        connections: { type: 'string', default: '32' },
        workers: { type: 'string', default: '1,2' },
        only: { type: 'string', default: '' },
        idle: { type: 'string', default: '5000' },
        json: { type: 'boolean', short: 'j', default: false },
      },
    })
    const report = await runSmtp({
      rounds: count('rounds', values.rounds ?? (values.quick ? '3' : '7')),
      seconds: count('seconds', values.seconds ?? (values.quick ? '1' : '2')),
      warmupSeconds: 0.3,
      connections: count('connections', values.connections),
      workers: values.workers.split(',').map((each) => count('workers', each)),
      only: values.only === '' ? [] : values.only.split(','),
      idleConnections: count('idle', values.idle),
      onProgress: onStderr(),
    })
    process.stdout.write(values.json ? `${JSON.stringify(report, undefined, 2)}\n` : renderSmtp(report))
    return 0
  },
}
