import { parseArgs } from 'node:util'
import { count, type Command } from '../command.ts'
import { runConnection } from '../connection/run-connection.ts'

export const connection: Command = {
  summary: 'server CPU and latency that a PROXY header costs a connection: the gateway, core’s front, a bare server',
  options: '[--message] [--rounds N] [--connections N] [--at-once N] [--json]',
  async run(args) {
    const { values } = parseArgs({
      args: [...args],
      options: {
        message: { type: 'boolean', default: false },
        rounds: { type: 'string', default: '21' },
        connections: { type: 'string', default: '500' },
        'at-once': { type: 'string', default: '8' },
        json: { type: 'boolean', short: 'j', default: false },
      },
    })
    const options = {
      rounds: count('rounds', values.rounds),
      connections: count('connections', values.connections),
      atOnce: count('at-once', values['at-once']),
      cargo: values.message ? ('message' as const) : ('nothing' as const),
      asJson: values.json,
    }
    process.stdout.write(await runConnection(options))
    return 0
  },
}
