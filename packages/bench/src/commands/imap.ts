import { parseArgs } from 'node:util'
import { count, type Command } from '../command.ts'
import { renderImap, runImap } from '../scenarios/imap.ts'
import { contestFlags, contestOptions } from './contest-flags.ts'

export const imap: Command = {
  summary: 'IMAP logins and commands a second, server CPU for each, memory of idle sessions: ours and Dovecot (Linux)',
  options:
    '[--quick] [--rounds N] [--seconds N] [--connections N] [--users N] [--messages N] [--workers 1,2] [--idle N] [--json]',
  async run(args) {
    const { values } = parseArgs({
      args: [...args],
      options: {
        ...contestFlags,
        connections: { type: 'string', default: '16' },
        users: { type: 'string', default: '16' },
        messages: { type: 'string', default: '1000' },
        workers: { type: 'string', default: '1,2' },
        idle: { type: 'string', default: '5000' },
      },
    })
    const report = await runImap({
      ...contestOptions(values, 5),
      connections: count('connections', values.connections),
      users: count('users', values.users),
      messages: count('messages', values.messages),
      workers: values.workers.split(',').map((each) => count('workers', each)),
      idleConnections: count('idle', values.idle),
    })
    process.stdout.write(values.json ? `${JSON.stringify(report, undefined, 2)}\n` : renderImap(report))
    return 0
  },
}
