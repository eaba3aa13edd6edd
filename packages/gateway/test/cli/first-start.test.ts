import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { secret } from '@postern/core'
import { expect, test } from 'vitest'
import { FileAuthenticator } from '../../src/auth/file-authenticator.ts'
import { demoAccount, demoPasswordFile, prepareFirstStart } from '../../src/cli/first-start.ts'
import { tryItText } from '../../src/cli/try-it-text.ts'
import { defaultConfigText } from '../../src/config/default-config.ts'
import { parseConfig } from '../../src/config/load.ts'
import { temporaryDirectory } from '../config/temporary-directory.ts'
import { from } from '../kit/signing-in.ts'

async function firstStart(): Promise<string> {
  const directory = join(await temporaryDirectory(), '.postern')
  await prepareFirstStart(directory)
  return directory
}

test('the embedded defaults can be used at once, on loopback only', async () => {
  const directory = await firstStart()
  const outcome = await parseConfig(defaultConfigText, { file: 'defaults', baseDir: directory })
  expect(outcome).toMatchObject({ ok: true, warnings: [] })
  const config = outcome.ok ? outcome.config : undefined
  const table = config?.start.listeners.map(({ protocol, tls, bind }, index) => {
    const [{ host, port } = { host: '', port: 0 }] = bind
    const proxy = config.live.listeners[index]?.proxy
    return `${host}:${port} ${protocol} ${tls} ${proxy?.mode} ${proxy?.mode === 'require' ? proxy.trustedNetworks.join(' ') : ''}`.trim()
  })
  expect(table).toEqual([
    '127.0.0.1:2525 smtp starttls off',
    '127.0.0.1:2526 smtp starttls require 127.0.0.0/8 ::1',
    '127.0.0.1:2587 submission starttls off',
    '127.0.0.1:2465 submission implicit off',
    '127.0.0.1:2143 imap starttls off',
    '127.0.0.1:2144 imap starttls require 127.0.0.0/8 ::1',
    '127.0.0.1:2993 imap implicit off',
  ])
  expect(config?.start.admin.bind).toEqual({ host: '127.0.0.1', port: 2080 })
  expect(config?.start.dataDir).toBe(directory)
  expect(config?.live.smtp.localDomains).toEqual(['localhost'])
})

test('the account signs in with the password of its file', async () => {
  const directory = await firstStart()
  const password = await readFile(join(directory, demoPasswordFile), 'utf8')
  expect(password).toMatch(/^[\w-]{20}$/)
  const by = new FileAuthenticator({ file: join(directory, 'accounts.toml'), checksAtOnce: 1, checksWaiting: 1 })
  const outcome = await by.verify?.({ mechanism: 'PLAIN', username: demoAccount, password: secret(password) }, from())
  expect(outcome).toMatchObject({ outcome: 'granted' })
})

test('nobody else can read any of it', async () => {
  const directory = await firstStart()
  const modeOf = async (file: string): Promise<number> => (await stat(join(directory, file))).mode & 0o777
  expect(await modeOf('.')).toBe(0o700)
  for (const file of ['key.pem', 'accounts.toml', demoPasswordFile]) expect(await modeOf(file)).toBe(0o600)
})

test('a second start changes nothing', async () => {
  const directory = await firstStart()
  const files = ['certificate.pem', 'key.pem', 'accounts.toml', demoPasswordFile]
  const contents = (): Promise<string[]> => Promise.all(files.map((file) => readFile(join(directory, file), 'utf8')))
  const before = await contents()
  await prepareFirstStart(directory)
  expect(await contents()).toEqual(before)
})

test('what is printed says where the password is, and not what it is', async () => {
  const directory = await firstStart()
  const text = tryItText(directory)
  expect(text).not.toContain(await readFile(join(directory, demoPasswordFile), 'utf8'))
  expect(text).toContain(join(directory, demoPasswordFile))
  expect(tryItText("/it's here/.postern")).toContain(String.raw`cat '/it'\''s here/.postern/demo-password'`)
})
