#!/usr/bin/env node
// `npx postern-bench …` in a checkout: compiled first, since its threads run what was compiled.
import { existsSync } from 'node:fs'

const built = new URL('../dist/cli/main.js', import.meta.url)
if (existsSync(built)) {
  const { main } = await import(built.href)
  process.exitCode = await main(process.argv.slice(2))
} else {
  process.stderr.write('postern-bench: not built yet; `npx tsc -b` or `npm start` once builds it\n')
  process.exitCode = 2
}
