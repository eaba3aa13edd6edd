import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import type { Command } from '../command.ts'
import { writeReport } from '../scenarios/report.ts'
import { onStderr } from './progress.ts'

export const report: Command = {
  summary: 'all of it in one run, written to docs/benchmarks/<date>/ as JSON, Markdown and a page with plots (Linux)',
  options: '[--quick] [--to FOLDER]',
  async run(args) {
    const { values } = parseArgs({
      args: [...args],
      options: { quick: { type: 'boolean', default: false }, to: { type: 'string' } },
    })
    const date = new Date().toISOString().slice(0, 10)
    const folder = values.to ?? fileURLToPath(new URL(`../../../../docs/benchmarks/${date}`, import.meta.url))
    const failed = await writeReport({ folder, isQuick: values.quick, onProgress: onStderr() })
    process.stdout.write(`written to ${folder}\n`)
    for (const title of failed) process.stdout.write(`failed: ${title}\n`)
    return failed.length === 0 ? 0 : 1
  },
}
