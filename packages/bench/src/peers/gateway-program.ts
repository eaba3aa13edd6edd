/*
 * The gateway, as `postern serve` runs it: its supervisor here, its worker in a process of its own. The argument is the
 * file of its configuration; where its listeners listen is told to the parent, by their names.
 */
import { readFileSync } from 'node:fs'
import { parseConfig, serve } from '@postern/gateway'

const [file = ''] = process.argv.slice(2)
const text = readFileSync(file, 'utf8')

const readConfig = (): ReturnType<typeof parseConfig> => parseConfig(text, { file: 'bench', baseDir: process.cwd() })
const outcome = await readConfig()
if (!outcome.ok) throw new Error(JSON.stringify(outcome.problems))
process.once('disconnect', () => process.kill(process.pid, 'SIGTERM'))
const status = await serve({
  config: outcome.config,
  warnings: [],
  readConfig,
  onReady: (bound) => {
    process.send?.(Object.fromEntries(bound.map(({ name, port }) => [name, port])))
  },
})
process.exit(status)
