#!/usr/bin/env node
// `npx postern …` in a checkout: the compiled command when it was built, else the TypeScript source itself.
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const built = new URL('../dist/main.js', import.meta.url)
if (existsSync(built)) {
  await import(built.href)
} else {
  const source = fileURLToPath(new URL('../src/main.ts', import.meta.url))
  const run = spawnSync(process.execPath, ['--conditions=@postern/source', source, ...process.argv.slice(2)], {
    stdio: 'inherit',
  })
  process.exitCode = run.status ?? 1
}
