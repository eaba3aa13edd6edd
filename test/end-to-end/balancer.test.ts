// What `postern balancer` prints for a configuration is run as it stands by the real HAProxy and the real nginx, in front of a
// gateway with that configuration: every kind of listener is found up, and mail comes with its client's address.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { makeCertificate } from '../kit/certificates.ts'
import { listener } from '../kit/configuration.ts'
import { Dialogue } from '../kit/dialogue.ts'
import { ann, postern, startGateway, type Gateway } from '../kit/gateway.ts'
import { startHaproxy, type Haproxy } from '../kit/haproxy.ts'
import { readMessage } from '../kit/mailbox.ts'
import { startNginx, type Nginx } from '../kit/nginx.ts'
import { peer } from '../kit/peers.ts'
import { freePorts } from '../kit/ports.ts'
import { swaks } from '../kit/swaks.ts'

const names = ['mx', 'submission', 'submissions', 'lmtp', 'imap', 'imaps', 'guarded'] as const
type Ports = Record<(typeof names)[number], number>

const inside = await freePorts(...names, 'admin', 'direct')
let gateway: Gateway

beforeAll(async () => {
  const { cert, key } = await makeCertificate()
  const behind = { mode: 'require', trusted: ['127.0.0.1'] } as const
  gateway = await startGateway({
    adminPort: inside.admin,
    config: [
      listener('mx', { protocol: 'smtp', bind: inside.mx, tls: 'starttls', ...behind }),
      listener('submission', { protocol: 'submission', bind: inside.submission, tls: 'starttls', ...behind }),
      listener('submissions', { protocol: 'submission', bind: inside.submissions, tls: 'implicit', ...behind }),
      listener('lmtp', { protocol: 'lmtp', bind: inside.lmtp, ...behind }),
      listener('imap', { protocol: 'imap', bind: inside.imap, tls: 'starttls', ...behind }),
      listener('imaps', { protocol: 'imap', bind: inside.imaps, tls: 'implicit', ...behind }),
      // Nobody without a certificate gets in here, and no check either.
      listener('guarded', { protocol: 'imap', bind: inside.guarded, tls: 'implicit', ...behind }).replace(
        '[listener.guarded.proxy]',
        'client-certificates = "require"\n[listener.guarded.proxy]',
      ),
      listener('direct', { protocol: 'imap', bind: inside.direct, tls: 'starttls', mode: 'off' }),
      `[tls]\ncertificates = [{ cert = "${cert}", key = "${key}" }]\nclient-ca = "${cert}"`,
    ].join('\n'),
  })
})
afterAll(() => gateway?.stop())

async function generated(kind: string, front: Ports): Promise<string> {
  const listens = names.flatMap((name) => ['--listen', `${name}=127.0.0.1:${front[name]}`])
  const { code, stdout, stderr } = await postern(['balancer', kind, '-c', gateway.configFile, ...listens])
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  return stdout
}

async function deliversThrough(port: number, client: string, args: readonly string[] = []): Promise<string> {
  const subject = `for ${client}`
  const sent = await swaks({ port, subject, args: ['--local-interface', client, ...args] })
  expect(sent).toMatchObject({ code: 0 })
  return readMessage(inside.direct, subject)
}

async function knows(port: number, client: string): Promise<void> {
  const dialogue = await Dialogue.connect(port, { from: client })
  await dialogue.line()
  await dialogue.imap('a LOGOUT')
  await dialogue.end()
  await gateway.waitForLog(
    `the header of ${client}`,
    (record) => record.event === 'proxy.accepted' && record['client'] === client,
  )
}

async function signsIn(port: number): Promise<void> {
  const { stdout } = await peer('openssl', ['s_client', '-connect', `127.0.0.1:${port}`, '-quiet', '-crlf'], {
    input: `a LOGIN ${ann.name} "${ann.password}"\nb LOGOUT\n`,
  })
  expect(stdout).toMatch(/\r\na OK /)
}

describe('X6: postern balancer haproxy', () => {
  let front: Ports
  let haproxy: Haproxy

  beforeAll(async () => {
    front = await freePorts(...names)
    const text = await generated('haproxy', front)
    // Some systems give a process fewer files than a balancer has, and nobody waits five seconds for a check here.
    haproxy = await startHaproxy(text.replace('maxconn 20000', 'maxconn 200').replace('inter 5s', 'inter 200ms'))
  })
  afterAll(() => haproxy?.stop())

  test.each(names)('its check finds listener %s up', async (name) => {
    const { check } = await haproxy.waitUntilUp(`postern-${name}`, 'gateway1')
    expect(check).toBe(name === 'guarded' ? 'L4OK' : 'L7OK')
  })

  test('mail flows, and each knows its client', async () => {
    expect(await deliversThrough(front.mx, '127.0.0.41', ['--tls'])).toContain('[127.0.0.41]')
    expect(await deliversThrough(front.lmtp, '127.0.0.42', ['--protocol', 'LMTP'])).toContain('[127.0.0.42]')
    await knows(front.imap, '127.0.0.43')
    await signsIn(front.imaps)
  })

  test('its checks leave no line behind', async () => {
    await gateway.settleLog()
    expect(gateway.log.filter(({ level }) => level === 'warn' || level === 'error')).toEqual([])
  })
})

describe('X6: postern balancer nginx', () => {
  let front: Ports
  let nginx: Nginx

  beforeAll(async () => {
    front = await freePorts(...names)
    const text = await generated('nginx', front)
    nginx = await startNginx(text.replace('worker_connections 10000', 'worker_connections 500'), front.mx)
  })
  afterAll(() => nginx?.stop())

  test('mail flows, and each knows its client', async () => {
    expect(await deliversThrough(front.mx, '127.0.0.44', ['--tls'])).toContain('[127.0.0.44]')
    expect(await deliversThrough(front.lmtp, '127.0.0.45', ['--protocol', 'LMTP'])).toContain('[127.0.0.45]')
    await knows(front.imap, '127.0.0.46')
    await signsIn(front.imaps)
  })
})
