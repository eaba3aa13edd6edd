// Installs what the workspace needs, once: run by `npm start`, `npm test`, `npm run check` and `npm run bench` before
// anything else, on any Node with npx. It does nothing when no manifest changed since the last install.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'

process.chdir(dirname(dirname(fileURLToPath(import.meta.url))))

const manifests = ['packages', 'tools']
  .filter((folder) => existsSync(folder))
  .flatMap((folder) => readdirSync(folder).map((name) => `${folder}/${name}/package.json`))
const inputs = ['package.json', 'pnpm-lock.yaml', 'pnpm-workspace.yaml', ...manifests].filter((file) =>
  existsSync(file),
)

const hash = createHash('sha256')
for (const file of inputs) hash.update(file).update(readFileSync(file))
const digest = hash.digest('hex')
const stamp = 'node_modules/.bootstrap'

const isCurrent = existsSync(stamp) && readFileSync(stamp, 'utf8') === digest && existsSync('node_modules/.bin/node')
if (!isCurrent) {
  const { packageManager } = JSON.parse(readFileSync('package.json', 'utf8'))
  const install = spawnSync('npx', ['--yes', packageManager, 'install', '--frozen-lockfile'], { stdio: 'inherit' })
  if (install.status !== 0) process.exit(install.status ?? 1)
  writeFileSync(stamp, digest)
}
