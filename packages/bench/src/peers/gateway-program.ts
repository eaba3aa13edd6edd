/*
 * The gateway, as `postern serve` runs it: its supervisor here, its worker in a process of its own. The argument is the
 * text of a configuration with the listeners `direct` and `proxied`; where they listen is told to the parent.
 */
import { parseConfig, serve } from '@postern/gateway'

const [text = ''] = process.argv.slice(2)

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
