import { parseArgs } from 'node:util'
import type { Command } from '../command.ts'
import { renderDesign, runDesign } from '../scenarios/design.ts'
import { onStderr } from './progress.ts'

export const design: Command = {
  summary: 'every aim of the design with what was measured, met or missed, and a profile where one was missed (Linux)',
  options: '[--quick] [--json]',
  async run(args) {
    const { values } = parseArgs({
      args: [...args],
      options: { quick: { type: 'boolean', default: false }, json: { type: 'boolean', short: 'j', default: false } },
    })
    const report = await runDesign({ isQuick: values.quick, onProgress: onStderr() })
    process.stdout.write(values.json ? `${JSON.stringify(report, undefined, 2)}\n` : renderDesign(report))
    return 0
  },
}
