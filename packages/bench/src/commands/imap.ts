import { parseArgs } from 'node:util'
import { count, type Command } from '../command.ts'
import { renderImap, runImap } from '../scenarios/imap.ts'
import { onStderr } from './progress.ts'

export const imap: Command = {
  summary: 'IMAP logins and commands a second, server CPU for each, memory of idle sessions: ours and Dovecot (Linux)',
  options:
    '[--quick] [--rounds N] [--seconds N] [--connections N] [--users N] [--messages N] [--workers 1,2] [--idle N] [--json]',
  async run(args) {
    const { values } = parseArgs({
      args: [...args],
      options: {
        quick: { type: 'boolean', default: false },
        rounds: { type: 'string' },
        seconds: { type: 'string' },
        connections: { type: 'string', default: '16' },
        users: { type: 'string', default: '16' },
        messages: { type: 'string', default: '1000' },
        workers: { type: 'string', default: '1,2' },
        idle: { type: 'string', default: '1000' },
        json: { type: 'boolean', short: 'j', default: false },
      },
    })
    const report = await runImap({
      rounds: count('rounds', values.rounds ?? (values.quick ? '3' : '5')),
      seconds: count('seconds', values.seconds ?? (values.quick ? '1' : '2')),
      warmupSeconds: 0.3,
      connections: count('connections', values.connections),
      users: count('users', values.users),
      messages: count('messages', values.messages),
      workers: values.workers.split(',').map((each) => count('workers', each)),
      idleConnections: count('idle', values.idle),
      onProgress: onStderr(),
    })
    process.stdout.write(values.json ? `${JSON.stringify(report, undefined, 2)}\n` : renderImap(report))
    return 0
  },
}
