/*
 * Everything at once, for long: `npm run soak -- --hours N [--report FILE]`. The run itself is soak.test.ts, of which
 * `npm test` has a few seconds.
 */
import { spawnSync } from 'node:child_process'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'

const root = join(import.meta.dirname, '../..')
const { values } = parseArgs({ options: { hours: { type: 'string', default: '1' }, report: { type: 'string' } } })
const hours = Number(values.hours)
if (!(hours > 0)) {
  process.stderr.write('usage: npm run soak -- --hours N [--report FILE]\n')
  process.exit(2)
}
const { status } = spawnSync(join(root, 'node_modules/.bin/vitest'), ['run', '--project', 'attacks', 'soak'], {
  cwd: root,
  stdio: 'inherit',
  env: {
    ...process.env,
    POSTERN_SOAK_SECONDS: String(hours * 3600),
    ...(values.report !== undefined && { POSTERN_SOAK_REPORT: resolve(values.report) }),
  },
})
process.exit(status ?? 1)
