// What the Dockerfile puts into the image, without a container engine: the same deployment of the package, started by the same
// command, looked at by the same health check, in front of listeners that take nobody without a PROXY header.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { makeCertificate } from '../kit/certificates.ts'
import { Dialogue } from '../kit/dialogue.ts'
import { temporaryFolder } from '../kit/folder.ts'
import { eventually } from '../kit/patience.ts'
import { freePorts } from '../kit/ports.ts'
import { v1 } from '../kit/proxy-header.ts'
import { run, start } from '../kit/run.ts'

const root = join(import.meta.dirname, '../..')
const dockerfile = readFileSync(join(root, 'Dockerfile'), 'utf8').replaceAll('\\\n', ' ')
const folder = temporaryFolder('image')
const out = join(folder, 'opt')
const ports = await freePorts('mx', 'admin')
let child: ReturnType<typeof start>

/** The words of an instruction in its JSON form. */
function words(pattern: RegExp): string[] {
  const written = pattern.exec(dockerfile)?.[1]
  if (written === undefined) throw new Error(`the Dockerfile has no ${pattern}`)
  return (JSON.parse(written) as string[]).map((word) =>
    word
      .replace('/opt/postern/', `${out}/`)
      .replace('/etc/postern/', `${folder}/`)
      .replace('127.0.0.1:2080', `127.0.0.1:${ports.admin}`),
  )
}

beforeAll(async () => {
  const deploy = /^RUN (node_modules\/\.bin\/pnpm) (.* deploy) \/out$/m.exec(dockerfile)
  // Without the network the age of a release cannot be asked; the lockfile pins them all.
  const args = [...(deploy?.[2] ?? '').split(' '), '--offline', '--config.minimumReleaseAge=0', out]
  const deployed = await run(join(root, deploy?.[1] ?? ''), args, { cwd: root, timeoutMs: 90_000 })
  if (deployed.code !== 0) throw new Error(deployed.stdout + deployed.stderr)

  const { cert, key } = await makeCertificate()
  mkdirSync(join(folder, 'data'))
  const config = readFileSync(join(root, 'examples/compose/postern.toml'), 'utf8')
    .replace('172.28.0.10', '127.0.0.1')
    .replace('0.0.0.0:2525', `127.0.0.1:${ports.mx}`)
    .replace('127.0.0.1:2080', `127.0.0.1:${ports.admin}`)
    .replace('/var/lib/postern', join(folder, 'data'))
    .replace('/etc/postern/tls/mx.pem', cert)
    .replace('/etc/postern/tls/mx.key', key)
    // There is no Dovecot here: what is looked at then is not the health of the gateway itself.
    .replace('[upstream.dovecot]', '[upstream.dovecot]\nhealth = { check = false }')
  writeFileSync(join(folder, 'postern.toml'), config)
  const [, ...entrypoint] = words(/^ENTRYPOINT (.*)$/m)
  child = start(process.execPath, [...entrypoint, ...words(/^CMD (.*)$/m)], { cwd: folder })
}, 120_000)
afterAll(() => child?.kill('SIGTERM'))

async function healthCheck(): Promise<number | null> {
  const [, ...args] = words(/^HEALTHCHECK .*? {2,}CMD (.*)$/m)
  return (await run(process.execPath, args)).code
}

test('the health check passes where every listener requires a header, and mail is greeted behind one', async () => {
  await eventually('the health check to pass', async () => ((await healthCheck()) === 0 ? true : undefined))
  const client = await Dialogue.connect(ports.mx)
  client.send(v1())
  expect((await client.reply()).code).toBe(220)
  await client.ask('QUIT')
  await client.end()
})

test('it fails when nobody is there', async () => {
  const ended = new Promise((resolve) => child.once('close', resolve))
  child.kill('SIGTERM')
  await ended
  expect(await healthCheck()).toBe(1)
})
