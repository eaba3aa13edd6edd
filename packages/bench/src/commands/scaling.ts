import { parseArgs } from 'node:util'
import type { Command } from '../command.ts'
import { renderScaling, runScaling } from '../scenarios/scaling.ts'
import { onStderr } from './progress.ts'

export const scaling: Command = {
  summary:
    'how cost grows with workers, message size, trusted networks, limited clients and messages in a mailbox (Linux)',
  options: '[--quick] [--json]',
  async run(args) {
    const { values } = parseArgs({
      args: [...args],
      options: { quick: { type: 'boolean', default: false }, json: { type: 'boolean', short: 'j', default: false } },
    })
    const report = await runScaling({ isQuick: values.quick, onProgress: onStderr() })
    process.stdout.write(values.json ? `${JSON.stringify(report, undefined, 2)}\n` : renderScaling(report))
    return 0
  },
}
