import { symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { temporaryDirectory } from '../config/temporary-directory.ts'
import { postern } from './run.ts'

test('postern doctor walks through all of it, and through nothing of a file that cannot be used', async () => {
  const cwd = await temporaryDirectory()
  const text = '[listener.mx]\nprotocol = "smtp"\nbind = "127.0.0.1:0"\ntls = "off"\n[admin]\nbind = "off"\n'
  await writeFile(
    join(cwd, 'postern.toml'),
    `[server]\nhostname = "localhost"\n[limits]\nmax-connections-per-worker = 100\n${text}`,
  )
  const told = await postern(['doctor', '-c', 'postern.toml'], { cwd })
  expect(told.status).toBe(0)
  for (const about of [
    'server.data-dir .*\\.postern',
    'port 127.0.0.1:0',
    'server.hostname localhost',
    'open files',
    'clock',
  ]) {
    expect(told.stdout).toMatch(new RegExp(`^(?:ok    |advice) ${about}: `, 'm'))
  }
  await symlink('not-mounted/postern', join(cwd, 'link'))
  for (const noFolder of ['postern.toml/data', 'link']) {
    await writeFile(join(cwd, 'postern.toml'), `[server]\ndata-dir = "${noFolder}"\n${text}`)
    expect(await postern(['doctor', '-c', 'postern.toml'], { cwd })).toMatchObject({
      status: 1,
      stdout: expect.stringMatching(/^WRONG {2}server\.data-dir .*: cannot be written \(ENOTDIR\)/m),
    })
  }
  await writeFile(join(cwd, 'postern.toml'), text.replace('smtp', 'pop3'))
  const wrong = await postern(['doctor', '-c', 'postern.toml'], { cwd })
  expect(wrong).toMatchObject({
    status: 1,
    stdout: expect.stringMatching(/^postern\.toml:2: listener\.mx\.protocol: /),
  })
})
