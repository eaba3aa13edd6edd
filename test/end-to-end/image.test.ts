// examples/compose without containers: Dovecot, HAProxy and a gateway on the files of that folder, and Redis for Valkey. The gateway
// is what the Dockerfile puts into the image: the same deployment of the package, started by the same command, looked at by the
// same health check, where every listener requires a PROXY header. The second gateway is away.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { makeCertificate } from '../kit/certificates.ts'
import { example } from '../kit/configuration.ts'
import { listens, startDaemon, type Daemon } from '../kit/daemon.ts'
import { startDovecot, type Dovecot, type Owner } from '../kit/dovecot.ts'
import { temporaryFolder } from '../kit/folder.ts'
import { ann } from '../kit/gateway.ts'
import { startHaproxy, type Haproxy } from '../kit/haproxy.ts'
import { eventually } from '../kit/patience.ts'
import { peer, requirePeer } from '../kit/peers.ts'
import { freePorts } from '../kit/ports.ts'
import { run, start } from '../kit/run.ts'
import { swaks } from '../kit/swaks.ts'

const root = join(import.meta.dirname, '../..')
const dockerfile = readFileSync(join(root, 'Dockerfile'), 'utf8').replaceAll('\\\n', ' ')
const folder = temporaryFolder('image')
const out = join(folder, 'opt')
const ports = await freePorts('mx', 'imaps', 'admin', 'lmtp', 'imap', 'redis', 'frontMx', 'frontImaps', 'nobody')
let dovecot: Dovecot
let redis: Daemon
let haproxy: Haproxy
let gateway: ReturnType<typeof start>

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

async function deploy(): Promise<void> {
  const [, program = '', args = ''] = /^RUN (node_modules\/\.bin\/pnpm) (.* deploy) \/out$/m.exec(dockerfile) ?? []
  // Without the network the age of a release cannot be asked; the lockfile pins them all.
  const offline = ['--offline', '--config.minimumReleaseAge=0', out]
  const deployed = await run(join(root, program), [...args.split(' '), ...offline], { cwd: root, timeoutMs: 90_000 })
  if (deployed.code !== 0) throw new Error(deployed.stdout + deployed.stderr)
}

function startExampleDovecot(): Promise<Dovecot> {
  let owner: Owner
  return startDovecot({
    needs: 'lmtp',
    port: ports.imap,
    files: (given) => {
      owner = given
      return { users: `${ann.name}:{PLAIN}${ann.password}\n` }
    },
    config: (path) =>
      example('compose/dovecot.conf', {
        'log_path = /dev/stderr': `listen = 127.0.0.1\nfirst_valid_gid = 1`,
        '/srv/mail': path('mail'),
        '172.28.0.11 172.28.0.12': '127.0.0.1',
        '/etc/dovecot/users': path('users'),
        'uid=vmail gid=vmail': `uid=${owner.uid} gid=${owner.gid}`,
        'port = 24': `port = ${ports.lmtp}`,
        'port = 143': `port = ${ports.imap}`,
      }),
  })
}

/** RESP knows commands on a line as well. */
function tellRedis(command: string): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  const socket = connect(ports.redis, '127.0.0.1', () => socket.write(`${command}\r\n`))
  socket.on('error', reject)
  socket.on('data', (bytes) => {
    socket.destroy()
    resolve(bytes.toString())
  })
  return promise
}

beforeAll(async () => {
  requirePeer('redis-server')
  const keepsNothing = ['--port', `${ports.redis}`, '--bind', '127.0.0.1', '--save', '', '--dir', folder]
  redis = startDaemon('Redis', ['redis-server', keepsNothing])
  const [certificate, mailboxes] = await Promise.all([makeCertificate(), startExampleDovecot(), deploy()])
  dovecot = mailboxes
  await redis.found('Redis to listen', () => listens(ports.redis))

  mkdirSync(join(folder, 'data'))
  const config = example('compose/postern.toml', {
    '172.28.0.10': '127.0.0.1',
    '0.0.0.0:2525': `127.0.0.1:${ports.mx}`,
    '0.0.0.0:2993': `127.0.0.1:${ports.imaps}`,
    '127.0.0.1:2080': `127.0.0.1:${ports.admin}`,
    '/var/lib/postern': join(folder, 'data'),
    '/etc/postern/tls/mx.pem': certificate.cert,
    '/etc/postern/tls/mx.key': certificate.key,
    'dovecot:24': `127.0.0.1:${ports.lmtp}`,
    'dovecot:143': `127.0.0.1:${ports.imap}`,
    'valkey:6379': `127.0.0.1:${ports.redis}`,
  })
  writeFileSync(join(folder, 'postern.toml'), `${config}\n[dns]\nclient-names = false\n`)
  const [, ...entrypoint] = words(/^ENTRYPOINT (.*)$/m)
  gateway = start(process.execPath, [...entrypoint, ...words(/^CMD (.*)$/m)], { cwd: folder })
  haproxy = await startHaproxy(
    example('compose/haproxy.cfg', {
      'bind 0.0.0.0:2525': `bind 127.0.0.1:${ports.frontMx}`,
      'bind 0.0.0.0:2993': `bind 127.0.0.1:${ports.frontImaps}`,
      '172.28.0.11:2525': `127.0.0.1:${ports.mx}`,
      '172.28.0.11:2993': `127.0.0.1:${ports.imaps}`,
      '172.28.0.12:2525': `127.0.0.1:${ports.nobody}`,
      '172.28.0.12:2993': `127.0.0.1:${ports.nobody}`,
      'maxconn 20000': 'maxconn 200',
      'inter 5s': 'inter 200ms',
    }),
  )
}, 120_000)
afterAll(async () => {
  await haproxy?.stop()
  gateway?.kill('SIGTERM')
  await dovecot?.stop()
  await redis?.stop()
})

async function healthCheck(): Promise<number | null> {
  const [, ...args] = words(/^HEALTHCHECK .*? {2,}CMD (.*)$/m)
  return (await run(process.execPath, args)).code
}

test('the health check of the image passes where every listener requires a header', async () => {
  // Asked here before, since each run of the check is a Node of its own.
  await eventually(
    'the gateway to be well',
    () =>
      fetch(`http://127.0.0.1:${ports.admin}/healthz`).then(
        ({ ok }) => ok || undefined,
        () => undefined,
      ),
    60_000,
  )
  expect(await healthCheck()).toBe(0)
})

test('X3, J12: mail reaches Dovecot by LMTP, and its user by IMAP; both times Dovecot knows the client', async () => {
  for (const backend of ['postern-mx', 'postern-imaps']) await haproxy.waitUntilUp(backend, 'gateway1')
  await tellRedis(`SET postern:route:${ann.name} dovecot`)
  await tellRedis('SET postern:route:gone@example.org refuse')

  const client = ['--local-interface', '127.0.0.51', '--tls']
  const sent = await swaks({ port: ports.frontMx, subject: 'in containers', args: client })
  expect(sent).toMatchObject({ code: 0 })
  const refused = await swaks({ port: ports.frontMx, to: 'gone@example.org', args: client })
  expect(refused.stdout).toMatch(/<~\* 550 /)

  const login = `a LOGIN ${ann.name} "${ann.password}"\nb SELECT INBOX\nc FETCH 1 BODY.PEEK[HEADER]\nd LOGOUT\n`
  const { stdout } = await peer(
    'openssl',
    ['s_client', '-connect', `127.0.0.1:${ports.frontImaps}`, '-bind', '127.0.0.52', '-quiet', '-crlf'],
    { input: login },
  )
  expect(stdout).toMatch(/\r\n\* 1 EXISTS\r\n/)
  expect(stdout).toContain('Subject: in containers')
  expect(stdout).toContain('[127.0.0.51]')
  await dovecot.waitForLog(
    'the client of the login',
    /imap-login: Info: Login: user=<ann@example\.org>.* rip=127\.0\.0\.52/,
  )
})

test('the health check fails when nobody is there', async () => {
  const ended = new Promise((resolve) => gateway.once('close', resolve))
  gateway.kill('SIGTERM')
  await ended
  expect(await healthCheck()).toBe(1)
})
