import { chmod, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { X509Certificate } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { namesOf } from '../../src/accept/tls.ts'
import { makeSelfSignedCertificate } from '../../src/certificate/self-signed.ts'
import { parseConfig } from '../../src/config/load.ts'
import type { Config, ConfigProblem } from '../../src/config/schema.ts'
import { temporaryDirectory } from './temporary-directory.ts'

const head = '[server]\ndata-dir = "data"\n[listener.mx]\nprotocol = "smtp"\nbind = "127.0.0.1"\n[tls.acme]\n'
const least = `${head}names = ["MX.example.org", "imap.example.org"]\nagree-to-terms = true\n`

async function read(text: string, baseDir = '/nowhere') {
  return parseConfig(text, { file: 'postern.toml', baseDir })
}

async function accepted(text: string, baseDir?: string): Promise<Config> {
  const outcome = await read(text, baseDir)
  if (!outcome.ok) throw new Error(JSON.stringify(outcome.problems))
  return outcome.config
}

async function problemsIn(text: string, baseDir?: string): Promise<readonly ConfigProblem[]> {
  const outcome = await read(text, baseDir)
  return outcome.ok ? [] : outcome.problems
}

describe('[tls.acme]', () => {
  test('with names and a yes to the terms alone: the admin endpoint answers, Let’s Encrypt issues', async () => {
    const { live } = await accepted(least)
    expect(live.acme).toEqual({
      names: ['mx.example.org', 'imap.example.org'],
      directory: 'https://acme-v02.api.letsencrypt.org/directory',
      folder: '/nowhere/data/acme',
      keyType: 'ecdsa',
      renewBeforeMs: 30 * 86_400_000,
    })
  })

  test('every key arrives where it belongs', async () => {
    const folder = await temporaryDirectory()
    await writeFile(join(folder, 'eab.key'), 'zWNDZM6eQGHWpSRTPal5\n', { mode: 0o600 })
    const more = `directory = "https://acme.example/directory"
email = "postmaster@example.org"
bind = "0.0.0.0"
folder = "certificates"
key-type = "rsa"
renew-before = "20d"
external-account = { key-id = "kid-1", key-file = "eab.key" }
`
    expect((await accepted(`${least}${more}`, folder)).live.acme).toMatchObject({
      directory: 'https://acme.example/directory',
      email: 'postmaster@example.org',
      bind: { host: '0.0.0.0', port: 80 },
      folder: join(folder, 'certificates'),
      keyType: 'rsa',
      renewBeforeMs: 20 * 86_400_000,
      externalAccount: { keyId: 'kid-1', key: 'zWNDZM6eQGHWpSRTPal5' },
    })
  })

  test('until the certificate comes one of our own stands there, for the same names', async () => {
    const [only, ...others] = (await accepted(least)).live.certificates
    expect(others).toEqual([])
    expect(only).toMatchObject({ certFile: '/nowhere/data/acme/certificate.pem', isPlaceholder: true })
    expect(namesOf(new X509Certificate(only?.cert ?? ''))).toEqual(['mx.example.org', 'imap.example.org'])
  })

  test('one that has come is used as any other', async () => {
    const folder = await temporaryDirectory()
    await mkdir(join(folder, 'data/acme'), { recursive: true })
    const { cert, key } = await makeSelfSignedCertificate({
      hostname: 'mx.example.org',
      notBefore: new Date(),
      validDays: 2,
    })
    const file = join(folder, 'data/acme/certificate.pem')
    const text = `Ordered by Postern from https://acme.example/directory\n${cert}${key}`
    await writeFile(file, text, { mode: 0o600 })
    const { certificates } = (await accepted(least, folder)).live
    expect(certificates).toEqual([{ certFile: file, keyFile: file, cert: text, key: text }])
    await chmod(file, 0o644)
    expect(await read(least, folder)).toMatchObject({
      ok: true,
      warnings: [{ path: 'tls.acme', message: expect.stringContaining('chmod o-r') }],
    })
  })

  test('one that is damaged is told, with what to do', async () => {
    const folder = await temporaryDirectory()
    await mkdir(join(folder, 'data/acme'), { recursive: true })
    await writeFile(join(folder, 'data/acme/certificate.pem'), 'oops', { mode: 0o600 })
    expect(await problemsIn(least, folder)).toMatchObject([
      {
        path: 'tls.acme',
        found: expect.stringContaining('certificate.pem'),
        hint: expect.stringMatching(/take the file away/),
      },
    ])
  })

  test.each([
    ['no yes to the terms', `${head}names = ["a.example"]`, 'tls.acme.agree-to-terms', /letsencrypt\.org/],
    ['no names', `${head}agree-to-terms = true\nnames = []`, 'tls.acme.names', /at least one/],
    ['a wildcard', least.replace('MX', '*'), 'tls.acme.names[0]', /domain name/],
    ['a directory in the clear', `${least}directory = "http://acme.example/"`, 'tls.acme.directory', /https/],
    ['an address that is none', `${least}email = "postmaster"`, 'tls.acme.email', /postmaster@example\.org/],
    ['nobody to answer', `${least}[admin]\nbind = "off"`, 'tls.acme.bind', /where challenges are answered/],
    [
      'a port that a listener has',
      `${least}bind = "127.0.0.1:25"`,
      'tls.acme.bind',
      /nothing else of this gateway has/,
    ],
    [
      'a key that is not there',
      `${least}external-account = { key-id = "a", key-file = "none" }`,
      'tls.acme.external-account.key-file',
      /can be read/,
    ],
  ])('%s is a problem', async (_, text, path, expected) => {
    expect(await problemsIn(text)).toMatchObject([{ path, expected: expect.stringMatching(expected) }])
  })
})
