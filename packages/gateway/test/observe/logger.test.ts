import { spawnSync } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { expect, test } from 'vitest'

const program = `
  import { openLog } from ${JSON.stringify(new URL('../../src/observe/logger.ts', import.meta.url).href)}
  const { logger, flush } = openLog('info', {})
  logger.info('the last words')
  await flush()
  process.exit(3)
`

function endWith(stdout: 'pipe' | number): { readonly status: number | null; readonly written: string | null } {
  const args = ['--input-type=module', '--eval', program]
  const { status, stdout: written } = spawnSync(process.execPath, args, {
    stdio: ['ignore', stdout, 'inherit'],
    encoding: 'utf8',
    timeout: 20_000,
  })
  return { status, written }
}

test('a process writes its last lines before it ends', () => {
  expect(endWith('pipe')).toEqual({ status: 3, written: expect.stringContaining('the last words') })
})

test('LG-05: a full disk does not keep a process from ending', () => {
  const full = openSync('/dev/full', 'w')
  expect(endWith(full).status).toBe(3)
  closeSync(full)
})
