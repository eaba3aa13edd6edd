import { parseArgs } from 'node:util'
import { count, type Command } from '../command.ts'
import { renderRelay, runRelay } from '../scenarios/relay.ts'
import { contestFlags, contestOptions } from './contest-flags.ts'

export const relay: Command = {
  summary:
    'a hop to a backend: IMAP logins, spliced MB/s and latency beside nginx and Dovecot, SMTP beside nginx and haraka (Linux)',
  options: '[--quick] [--rounds N] [--seconds N] [--connections N] [--json]',
  async run(args) {
    const { values } = parseArgs({
      args: [...args],
      options: { ...contestFlags, connections: { type: 'string', default: '16' } },
    })
    const report = await runRelay({
      ...contestOptions(values, 5),
      connections: count('connections', values.connections),
    })
    process.stdout.write(values.json ? `${JSON.stringify(report, undefined, 2)}\n` : renderRelay(report))
    return 0
  },
}
