import { parseArgs } from 'node:util'
import { UsageError, type Command } from '../command.ts'
import { judge, measureTimesFloor, mostTimesFloor } from '../micro/guard.ts'

export const guard: Command = {
  summary: 'fails when reading a v2 header takes more than a multiple of the floor that is written by hand',
  options: '[--at-most TIMES]',
  run(args) {
    const { values } = parseArgs({
      args: [...args],
      options: { 'at-most': { type: 'string', default: String(mostTimesFloor) } },
    })
    const bound = Number(values['at-most'])
    if (!(bound > 0)) throw new UsageError('--at-most takes a number above 0')
    const { isFast, measured } = judge(() => measureTimesFloor({ rounds: 15, roundMs: 10 }), bound)
    const times = measured.map((each) => each.toFixed(2)).join(', ')
    process.stdout.write(`v2 TCP4, core against the floor by hand: ${times} times, of ${bound} allowed\n`)
    return Promise.resolve(isFast ? 0 : 1)
  },
}
