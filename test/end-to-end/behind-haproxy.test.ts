// A real HAProxy in front, on the configurations of examples/haproxy.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { makeCertificate, type Certificate } from '../kit/certificates.ts'
import { example, listener } from '../kit/configuration.ts'
import { Dialogue } from '../kit/dialogue.ts'
import { ann, startGateway, type Gateway } from '../kit/gateway.ts'
import { startHaproxy, type Haproxy } from '../kit/haproxy.ts'
import { readMessage } from '../kit/mailbox.ts'
import { peer } from '../kit/peers.ts'
import { freePorts } from '../kit/ports.ts'
import { swaks } from '../kit/swaks.ts'

type Ports = Record<
  | ('smtp' | 'submission' | 'submissions' | 'imap' | 'imaps' | 'admin' | 'direct')
  | ('frontSmtp' | 'frontSubmission' | 'frontSubmissions' | 'frontImap' | 'frontImaps'),
  number
>

let certificate: Certificate

/** Some systems give a process fewer files than a balancer has. */
const smallSystem = { 'maxconn 20000': 'maxconn 200' }

beforeAll(async () => {
  certificate = await makeCertificate()
})

async function choosePorts(): Promise<Ports> {
  const inside = await freePorts('smtp', 'submission', 'submissions', 'imap', 'imaps', 'admin', 'direct')
  return {
    ...inside,
    ...(await freePorts('frontSmtp', 'frontSubmission', 'frontSubmissions', 'frontImap', 'frontImaps')),
  }
}

/** The gateway of the example, and one more listener to read the store by. */
function startExampleGateway(ports: Ports): Promise<Gateway> {
  const config = example('haproxy/postern.toml', {
    '/var/lib/postern': 'data',
    '10.0.0.10': '127.0.0.1',
    '10.0.0.11:25"': `127.0.0.1:${ports.smtp}"`,
    '10.0.0.11:587"': `127.0.0.1:${ports.submission}"`,
    '10.0.0.11:465"': `127.0.0.1:${ports.submissions}"`,
    '10.0.0.11:143"': `127.0.0.1:${ports.imap}"`,
    '10.0.0.11:993"': `127.0.0.1:${ports.imaps}"`,
    '/etc/postern/mx.pem': certificate.cert,
    '/etc/postern/mx.key': certificate.key,
    '/etc/postern/accounts.toml': 'accounts.toml',
    '127.0.0.1:2080': `127.0.0.1:${ports.admin}`,
  })
  const direct = listener('direct', { protocol: 'imap', bind: ports.direct, tls: 'starttls', mode: 'off' })
  return startGateway({ config: `${config}\n${direct}`, adminPort: ports.admin })
}

function throughExample(ports: Ports, sends: 'send-proxy' | 'send-proxy-v2'): string {
  return example('haproxy/haproxy.cfg', {
    'bind 0.0.0.0:25': `bind 127.0.0.1:${ports.frontSmtp}`,
    'bind 0.0.0.0:587': `bind 127.0.0.1:${ports.frontSubmission}`,
    'bind 0.0.0.0:465': `bind 127.0.0.1:${ports.frontSubmissions}`,
    'bind 0.0.0.0:143': `bind 127.0.0.1:${ports.frontImap}`,
    'bind 0.0.0.0:993': `bind 127.0.0.1:${ports.frontImaps}`,
    '10.0.0.11:587 ': `127.0.0.1:${ports.submission} `,
    '10.0.0.11:25 ': `127.0.0.1:${ports.smtp} `,
    '10.0.0.11:465 ': `127.0.0.1:${ports.submissions} `,
    '10.0.0.11:143 ': `127.0.0.1:${ports.imap} `,
    '10.0.0.11:993 ': `127.0.0.1:${ports.imaps} `,
    'send-proxy-v2': sends,
    'inter 5s': 'inter 200ms',
    ...smallSystem,
  })
}

describe.each(['send-proxy', 'send-proxy-v2'] as const)('examples/haproxy/haproxy.cfg with %s', (sends) => {
  let ports: Ports
  let gateway: Gateway
  let haproxy: Haproxy

  beforeAll(async () => {
    ports = await choosePorts()
    gateway = await startExampleGateway(ports)
    haproxy = await startHaproxy(throughExample(ports, sends))
    for (const name of ['mx', 'submission', 'submissions', 'imap', 'imaps']) {
      await haproxy.waitUntilUp(`postern-${name}`, 'gateway1')
    }
  })
  afterAll(async () => {
    await haproxy?.stop()
    await gateway?.stop()
  })

  test('J1, S11, S19: the reply to EHLO names the client, not the balancer', async () => {
    const client = await Dialogue.connect(ports.frontSmtp, { from: '127.0.0.7' })
    expect((await client.reply()).code).toBe(220)
    const hello = await client.ask('EHLO client.example.net')
    expect(hello.code).toBe(250)
    expect(hello.lines[0]).toContain('127.0.0.7')
    expect(hello.lines[0]).not.toContain('127.0.0.1')
    client.command('HELO client.example.net')
    expect((await client.reply()).text).toContain('127.0.0.7')
    await client.ask('QUIT')
    await client.end()
  })

  test('S4, S5, S10, S14, J9, H10: one connection, one id: peer and client, with their ports, and where the client dialled', async () => {
    const client = await Dialogue.connect(ports.frontSmtp, { from: '127.0.0.8' })
    await client.reply()
    await client.ask('EHLO client.example.net')
    await client.ask('QUIT')
    await client.end()
    const accepted = await gateway.waitForLog(
      'the header of 127.0.0.8',
      (record) => record.event === 'proxy.accepted' && record['client'] === '127.0.0.8',
    )
    expect(accepted).toMatchObject({
      listener: 'mx',
      client: '127.0.0.8',
      clientPort: client.localPort,
      proxy: '127.0.0.1',
      destination: '127.0.0.1',
      destinationPort: ports.frontSmtp,
    })
    const { id } = accepted
    expect(id).toMatch(/^[0-9a-z]{16}$/)
    const close = await gateway.waitForLog(
      'its end',
      (record) => record.event === 'connection.close' && record['id'] === id,
    )
    expect(close).toMatchObject({ listener: 'mx', client: '127.0.0.8', proxy: '127.0.0.1' })
    const lines = gateway.log.filter((record) => record['id'] === id)
    expect(lines.map(({ event }) => event)).toEqual(['proxy.accepted', 'connection.close'])
  })

  test('J2, S19: an IMAP session knows its client; the log names it, and the balancer it came through', async () => {
    const client = await Dialogue.connect(ports.frontImap, { from: '127.0.0.9' })
    expect(await client.line()).toMatch(/^\* OK /)
    expect((await client.imap('a1 CAPABILITY'))[0]).toMatch(/^\* CAPABILITY IMAP4rev1 .*STARTTLS/)
    expect((await client.imap('a2 LOGOUT')).at(-1)).toMatch(/^a2 OK/)
    await client.end()
    const accepted = await gateway.waitForLog(
      'the header of 127.0.0.9',
      (record) => record.event === 'proxy.accepted' && record['client'] === '127.0.0.9',
    )
    expect(accepted).toMatchObject({ listener: 'imap', clientPort: client.localPort, proxy: '127.0.0.1' })
  })

  test('J3, S21: port 465: the header in the clear, then our TLS handshake with openssl s_client', async () => {
    const { stdout, code } = await peer(
      'openssl',
      [
        's_client',
        '-connect',
        `127.0.0.1:${ports.frontSubmissions}`,
        '-servername',
        'mx.example.org',
        '-quiet',
        '-crlf',
      ],
      { input: 'EHLO client.example.net\nQUIT\n' },
    )
    expect(stdout).toMatch(/^220 mx\.example\.org/)
    expect(stdout).toMatch(/\r\n250[- ]AUTH .*PLAIN/)
    expect(stdout).toMatch(/\r\n221 /)
    expect(code).toBe(0)
  })

  test('J4, S21: port 993: the same for IMAP', async () => {
    const { stdout } = await peer(
      'openssl',
      ['s_client', '-connect', `127.0.0.1:${ports.frontImaps}`, '-servername', 'mx.example.org', '-quiet', '-crlf'],
      { input: `a LOGIN ${ann.name} "${ann.password}"\nb LOGOUT\n` },
    )
    expect(stdout).toMatch(/^\* OK /)
    expect(stdout).toMatch(/\r\na OK /)
    expect(stdout).toMatch(/\r\nb OK /)
  })

  test.each([
    ['SMTP', 'frontSmtp', 'smtp', /250[- ]PIPELINING/, 'EHLO client.example.net\nQUIT\n'],
    ['IMAP', 'frontImap', 'imap', /^a OK /, `a LOGIN ${ann.name} "${ann.password}"\nb LOGOUT\n`],
  ] as const)(
    'J5: STARTTLS works behind a header: %s, with openssl s_client',
    async (_, port, name, expected, input) => {
      const { stdout, stderr } = await peer(
        'openssl',
        ['s_client', '-connect', `127.0.0.1:${ports[port]}`, '-starttls', name, '-quiet', '-crlf', '-brief'],
        { input },
      )
      expect(`${stdout}${stderr}`).toMatch(/Protocol version: TLSv1\.3/)
      expect(stdout).toMatch(expected)
    },
  )

  test('J1, J6: a message of swaks, after STARTTLS, is stored with the client in its Received', async () => {
    const subject = `through HAProxy with ${sends}`
    const sent = await swaks({ port: ports.frontSmtp, subject, args: ['--local-interface', '127.0.0.10', '--tls'] })
    expect(sent.stdout).toMatch(/<~ {2}250 /)
    expect(sent.code).toBe(0)
    const message = await readMessage(ports.direct, subject)
    const received = /^Received: (?:.*\r\n[ \t])*.*\r\n/m.exec(message)?.[0] ?? ''
    expect(received).toContain('client.example.net')
    expect(received).toContain('[127.0.0.10]')
    expect(received).toContain('127.0.0.1')
    expect(received).toMatch(/with ESMTPS\b/)
  })

  test('J15, H6, H8: HAProxy calls every server UP, and its checks leave no warning behind', async () => {
    // All at once, but for a check that the machine itself was too late for.
    await expect
      .poll(async () => (await haproxy.servers()).filter(({ status, check }) => `${status} ${check}` !== 'UP L7OK'))
      .toEqual([])
    await gateway.settleLog()
    const unhappy = gateway.log.filter(({ level }) => level === 'error' || level === 'warn' || level === 'fatal')
    expect(unhappy).toEqual([])
  })
})

describe('examples/haproxy/haproxy-tls.cfg: HAProxy ends TLS and tells of it', () => {
  let ports: Ports
  let gateway: Gateway
  let haproxy: Haproxy

  beforeAll(async () => {
    ports = await choosePorts()
    gateway = await startExampleGateway(ports)
    haproxy = await startHaproxy(
      example('haproxy/haproxy-tls.cfg', {
        'bind :465': `bind 127.0.0.1:${ports.frontSubmissions}`,
        'bind :993': `bind 127.0.0.1:${ports.frontImaps}`,
        '/etc/haproxy/mx.pem': certificate.both,
        '10.0.0.11:587 ': `127.0.0.1:${ports.submission} `,
        '10.0.0.11:143 ': `127.0.0.1:${ports.imap} `,
        ...smallSystem,
      }),
    )
  })
  afterAll(async () => {
    await haproxy?.stop()
    await gateway?.stop()
  })

  test('W1, W6, J6: ssl, authority, crc32c and unique-id are read; the session counts as secure', async () => {
    const { stdout } = await peer(
      'openssl',
      [
        's_client',
        '-connect',
        `127.0.0.1:${ports.frontSubmissions}`,
        '-servername',
        'mx.example.org',
        '-quiet',
        '-crlf',
      ],
      { input: 'EHLO client.example.net\nQUIT\n' },
    )
    expect(stdout).toMatch(/\r\n250[- ]AUTH .*PLAIN/)
    expect(stdout).not.toContain('STARTTLS')
    const accepted = await gateway.waitForLog('the header', ({ event }) => event === 'proxy.accepted')
    expect(JSON.stringify(accepted)).toMatch(/TLSv1\.3/)
    expect(JSON.stringify(accepted)).toContain('mx.example.org')
  })

  test('W6: a user signs in and submits; Received says that TLS was used, up to the balancer', async () => {
    const subject = 'TLS ended at HAProxy'
    const login = ['--tls-on-connect', '--auth', 'PLAIN', '--auth-user', ann.name, '--auth-password', ann.password]
    const from = ['--from', ann.name, '--local-interface', '127.0.0.11']
    const sent = await swaks({ port: ports.frontSubmissions, subject, args: [...login, ...from] })
    expect(sent.stdout).toMatch(/235 /)
    expect(sent.code).toBe(0)
    const message = await readMessage(ports.direct, subject)
    expect(message).toMatch(/\[127\.0\.0\.11\]/)
    expect(message).toMatch(/with ESMTPSA\b/)
  })

  test('W6, S19: IMAP takes a login without STARTTLS', async () => {
    const { stdout } = await peer(
      'openssl',
      ['s_client', '-connect', `127.0.0.1:${ports.frontImaps}`, '-servername', 'mx.example.org', '-quiet', '-crlf'],
      { input: `c CAPABILITY\na LOGIN ${ann.name} "${ann.password}"\nb LOGOUT\n` },
    )
    expect(stdout).not.toMatch(/STARTTLS|LOGINDISABLED/)
    expect(stdout).toMatch(/\r\na OK /)
  })
})

/** One of several gateways: its own host name, its own store. */
function instance(name: string, port: number): string {
  return [
    `[server]\nhostname = "${name}.example.org"\nworkers = 1\ndata-dir = "data"`,
    listener('mx', { protocol: 'smtp', bind: port, mode: 'require', trusted: ['127.0.0.1'] }),
  ].join('\n')
}

describe('several gateways behind one HAProxy', () => {
  test('J7: sessions share nothing; when one gateway is gone, the other serves', async () => {
    const ports = await freePorts('front', 'one', 'two', 'adminOne', 'adminTwo')
    const one = await startGateway({ adminPort: ports.adminOne, config: instance('one', ports.one) })
    const two = await startGateway({ adminPort: ports.adminTwo, config: instance('two', ports.two) })
    const haproxy = await startHaproxy(`
defaults
  mode tcp
  timeout connect 2s
  timeout check 20s
  timeout client 20s
  timeout server 20s
  default-server inter 100ms fall 1 rise 1 check check-send-proxy send-proxy-v2
frontend front
  bind 127.0.0.1:${ports.front}
  default_backend mx
backend mx
  balance roundrobin
  option redispatch 1
  option smtpchk EHLO balancer.example.org
  server one 127.0.0.1:${ports.one}
  server two 127.0.0.1:${ports.two}
`)
    try {
      await haproxy.waitUntilUp('mx', 'one')
      await haproxy.waitUntilUp('mx', 'two')
      const served = async (from: string): Promise<string> => {
        const client = await Dialogue.connect(ports.front, { from })
        const greeting = (await client.reply()).text
        expect((await client.ask('EHLO client.example.net')).lines[0]).toContain(from)
        expect((await client.ask('MAIL FROM:<bob@example.net>')).code).toBe(250)
        expect((await client.ask(`RCPT TO:<${ann.name}>`)).code).toBe(250)
        expect((await client.ask('DATA')).code).toBe(354)
        expect((await client.ask('Subject: shared\r\n\r\ntext\r\n.')).code).toBe(250)
        await client.ask('QUIT')
        await client.end()
        return greeting.split(' ')[0] ?? ''
      }
      const hosts = await Promise.all(['127.0.0.21', '127.0.0.22', '127.0.0.23', '127.0.0.24'].map(served))
      expect(new Set(hosts)).toEqual(new Set(['one.example.org', 'two.example.org']))

      await one.stop()
      // HAProxy tries the other server when one refuses the connection, so nobody notices.
      const afterwards = await Promise.all(['127.0.0.25', '127.0.0.26', '127.0.0.27'].map(served))
      expect(new Set(afterwards)).toEqual(new Set(['two.example.org']))
    } finally {
      await haproxy.stop()
      await one.stop()
      await two.stop()
    }
  })
})
