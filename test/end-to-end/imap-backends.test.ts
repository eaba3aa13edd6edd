// IMAP users are signed in at a backend of their own, a real Dovecot, and speak with it from then on.
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { makeCertificate } from '../kit/certificates.ts'
import { example, listener } from '../kit/configuration.ts'
import { Dialogue } from '../kit/dialogue.ts'
import { startDovecotImap, type DovecotImap } from '../kit/dovecot-imap.ts'
import { ann, startGateway, type Account, type Gateway } from '../kit/gateway.ts'
import { temporaryFolder } from '../kit/folder.ts'
import { startHaproxy } from '../kit/haproxy.ts'
import { openImap } from '../kit/mailbox.ts'
import { eventually } from '../kit/patience.ts'
import { peer } from '../kit/peers.ts'
import { freePorts } from '../kit/ports.ts'
import { ends, sslTlv, tlv, v2, v2Local } from '../kit/proxy-header.ts'

const password = 'marker-password-of-users'
const user = (name: string): Account => ({ name: `${name}@example.com`, password })
const inOrg: Account = { name: 'olga@example.org', password }
const inNet: Account = { name: 'nora@sub.example.net', password }
/** Dovecot does not know her password: only the master can sign her in. */
const annThere: Account = { name: ann.name, password: 'known-to-nobody' }

/** What the service over HTTP says of everybody who signs in. */
let answer: Readonly<Record<string, string>> = {}
let asked: Record<string, unknown>[] = []
let service: Server
let dovecot: DovecotImap
let gateway: Gateway
let certificate: Awaited<ReturnType<typeof makeCertificate>>
/** Dovecot hands on who is called this: to dora, whose mail is in the store here. */
const fronted: Account = { name: 'fronted@example.com', password }
const dora: Account = { name: 'dora@example.org', password }
const ports = await freePorts('users', 'behind', 'judged', 'fronted', 'certified', 'directed', 'people', 'admin')

function upstream(name: string, port: number, more: string): string {
  return `[upstream.${name}]\nprotocol = "imap"\nbackends = ["127.0.0.1:${port}"]\n${more}\n[upstream.${name}.health]\ninterval = "500ms"`
}

function signIn(text: string): string {
  return text.replace('\nbind', '\nsign-in = "upstream"\nbind')
}

beforeAll(async () => {
  certificate = await makeCertificate()
  const users = ['v1', 'v2', 'id', 'wrong', 'flow', 'curl']
  dovecot = await startDovecotImap([...users.map(user), annThere, inOrg, inNet], certificate, undefined, [
    { here: fronted, there: dora, port: ports.fronted },
  ])
  const route = (name: string): string =>
    `[[route]]\nlisteners = ["users", "behind"]\nusers = ["${user(name).name}"]\nto = "${name}"`
  const starttls = `tls = "starttls"\ntls-ca = "${certificate.cert}"`
  const { plain, proxied } = dovecot.ports
  const config = [
    '[proxy]\ntrusted-networks = ["127.0.0.1"]',
    signIn(listener('users', { protocol: 'imap', bind: ports.users, tls: 'starttls', mode: 'off' })),
    signIn(listener('behind', { protocol: 'imap', bind: ports.behind, tls: 'starttls', mode: 'require' })),
    listener('fronted', { protocol: 'imap', bind: ports.fronted, tls: 'starttls', mode: 'off' }),
    '[imap]\nid-networks = ["127.0.0.1"]',
    listener('judged', { protocol: 'imap', bind: ports.judged, tls: 'starttls', mode: 'off' }),
    upstream('v1', proxied, 'announce = "proxy-v1"\ncredentials-in-clear = true'),
    upstream('v2', proxied, 'announce = "proxy-v2"\ncredentials-in-clear = true'),
    upstream('id', plain, `announce = "imap-id"\n${starttls}\ntls-server-name = "mx.example.org"`),
    upstream('wrong', plain, `${starttls}\ntls-server-name = "other.example.org"`),
    upstream(
      'boxes',
      plain,
      'announce = "imap-id"\ncredentials-in-clear = true\nmaster-user = "postern"\nmaster-password-file = "master"',
    ),
    '[accounts]\nfile = "accounts.toml"\nclient-certificates = true',
    listener('certified', { protocol: 'imap', bind: ports.certified, tls: 'starttls', mode: 'require' }),
    listener('directed', { protocol: 'imap', bind: ports.directed, tls: 'starttls', mode: 'off' }),
    `[lookup.people]\nurl = "http://127.0.0.1:${ports.people}/"\ndialect = "json"\ncache-time = "1h"`,
    '[[route]]\nlisteners = ["directed"]\nask = "people"',
    '[[route]]\nlisteners = ["judged", "certified"]\nto = "boxes"',
    ...['v1', 'v2', 'id', 'wrong'].map(route),
    `[[route]]\nlisteners = ["users"]\nusers = ["@example.com"]\nto = "v2"`,
    `[tls]\ncertificates = [{ cert = "${certificate.cert}", key = "${certificate.key}" }]`,
    '[log]\nlevel = "trace"',
  ]
  service = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      asked.push(JSON.parse(Buffer.concat(chunks).toString()) as Record<string, unknown>)
      response.end(JSON.stringify(answer))
    })
  })
  service.listen(ports.people, '127.0.0.1')
  await once(service, 'listening')
  const folder = temporaryFolder('gateway')
  writeFileSync(join(folder, 'master'), 'm4ster\n', { mode: 0o600 })
  gateway = await startGateway({ config: config.join('\n\n'), adminPort: ports.admin, folder, accounts: [ann, dora] })
})
afterAll(async () => {
  await gateway?.stop()
  service?.closeAllConnections()
  service?.close()
  await dovecot?.stop()
})

/** A client behind TLS; with a header, if it comes by a balancer. */
async function connect(port: number, header?: string): Promise<Dialogue> {
  const client = await Dialogue.connect(port)
  onTestFinished(() => client.destroy())
  if (header !== undefined) client.send(header)
  await client.line()
  await client.imap('s STARTTLS')
  await client.startTls()
  return client
}

const login = ({ name, password: word }: Account): string => `a LOGIN "${name}" "${word}"`

describe('X2, J12: the backend of a user signs them in, and its own log names the client', () => {
  test.each([
    ['v1', '203.0.113.61'],
    ['v2', '203.0.113.62'],
    ['id', '203.0.113.63'],
    ['v1', '2001:db8::61'],
    ['v2', '2001:db8::62'],
    ['id', '2001:db8::63'],
  ])('by %s: %s', async (way, address) => {
    const family = address.includes(':') ? 'TCP6' : 'TCP4'
    const there = address.includes(':') ? '2001:db8::1' : '198.51.100.5'
    const client = await connect(ports.behind, `PROXY ${family} ${address} ${there} 45678 143\r\n`)
    const lines = await client.imap(login(user(way)))
    expect(lines.at(-1)).toMatch(/^a OK \[CAPABILITY IMAP4rev1 .*\bIDLE\b.*\] Logged in$/)
    expect(lines.at(-1)).not.toMatch(/AUTH=|STARTTLS|LOGINDISABLED/)
    expect((await client.imap('b SELECT INBOX')).at(-1)).toMatch(/^b OK \[READ-WRITE\]/)
    await dovecot.waitForLog('the login', new RegExp(`Login: user=<${way}@example.com>, rip=${address},`))
    const record = await gateway.waitForLog('where it went', ({ event, client: who }) => {
      return event === 'imap.handed-on' && who === address
    })
    expect(record).toMatchObject({ upstream: way, username: user(way).name })
    if (way === 'id') {
      await dovecot.waitForLog('the same id', new RegExp(`rip=${address},.* session=<${String(record['id'])}>`))
    }
    await client.imap('c LOGOUT')
    await client.end()
  })
})

test.each(['203.0.113.71', '2001:db8::71'])(
  'X2: behind Dovecot as a front end the client is %s here, too',
  async (address) => {
    const isIpv6 = address.includes(':')
    const both = isIpv6 ? `TCP6 ${address} 2001:db8::1` : `TCP4 ${address} 198.51.100.5`
    const client = await connect(dovecot.ports.proxied, `PROXY ${both} 45678 143\r\n`)
    expect((await client.imap(login(fronted))).at(-1)).toMatch(/^a OK /)
    const record = await gateway.waitForLog('who signed in', ({ event, client: who }) => {
      return event === 'auth.ok' && who === address
    })
    expect(record).toMatchObject({ username: dora.name, clientPort: 45_678, via: 'id' })
    await client.imap('b LOGOUT')
  },
)

test('what a client sends right behind its login is the first that the backend gets', async () => {
  const client = await connect(ports.users)
  client.send(`${login(user('v2'))}\r\nb NAMESPACE\r\nc LOGOUT\r\n`)
  const said = await client.end()
  expect(said).toMatch(/^a OK [^]*^\* NAMESPACE [^]*^b OK [^]*^\* BYE [^]*^c OK /m)
})

test('a wrong password is wrong, whoever says so; and nobody is told who exists', async () => {
  const client = await connect(ports.users)
  for (const account of [{ ...user('v2'), password: 'wrong' }, user('nobody'), { name: 'eve@example.net', password }]) {
    expect(await client.imap(login(account))).toEqual(['a NO [AUTHENTICATIONFAILED] Authentication failed'])
  }
  expect(await client.line()).toBe('* BYE Too many failed logins')
})

test('a backend with another name in its certificate gets no password', async () => {
  const client = await connect(ports.users)
  expect(await client.imap(login(user('wrong')))).toEqual(['a NO [UNAVAILABLE] Account is temporarily unavailable.'])
  const failed = await gateway.waitForLog('why', ({ event, username }) => {
    return event === 'auth.failed' && username === user('wrong').name
  })
  expect(String(failed.msg)).toContain('TLS: ERR_TLS_CERT_ALTNAME_INVALID')
  expect(dovecot.log().filter((line) => line.includes('wrong@example.com'))).toEqual([])
})

test('a master signs in for who was judged here', async () => {
  const client = await connect(ports.judged)
  expect((await client.imap(login({ ...ann, password: 'wrong' }))).at(-1)).toContain('[AUTHENTICATIONFAILED]')
  expect((await client.imap(login(ann))).at(-1)).toMatch(/^a OK /)
  await dovecot.waitForLog('the login', new RegExp(`Login: user=<${ann.name}>`))
})

/** @param verify - zero when the balancer found it good (PROXY protocol, section 2.2.6). */
const offeredTo = async (verify: number): Promise<{ client: Dialogue; greeting: string }> => {
  const client = await Dialogue.connect(ports.certified)
  onTestFinished(() => client.destroy())
  const claim = sslTlv(7, verify, [tlv(0x21, 'TLSv1.3'), tlv(0x22, ann.name)])
  client.send(v2(ends, { tlvs: [claim], crc: true }))
  return { client, greeting: await client.line() }
}

describe('X3: a client certificate at the balancer signs in to the backend', () => {
  test('that was verified: by EXTERNAL here, and by the master there', async () => {
    const { client, greeting } = await offeredTo(0)
    expect(greeting).toMatch(/ AUTH=EXTERNAL\b/)
    expect((await client.imap('a AUTHENTICATE EXTERNAL =')).at(-1)).toMatch(/^a OK /)
    expect((await client.imap('b SELECT INBOX')).at(-1)).toMatch(/^b OK /)
    await dovecot.waitForLog('the login', new RegExp(`Login: user=<${ann.name}>, rip=203\\.0\\.113\\.7,`))
  })

  test('that was not verified: by none', async () => {
    const { client, greeting } = await offeredTo(1)
    expect(greeting).not.toContain('AUTH=EXTERNAL')
    expect((await client.imap('a AUTHENTICATE EXTERNAL =')).at(-1)).toMatch(/^a NO /)
  })
})

const signInAsDirected = async (account: Account): Promise<string | undefined> => {
  const client = await connect(ports.directed)
  const said = (await client.imap(login(account))).at(-1)
  client.destroy()
  return said
}

describe('a service over HTTP that gives what to sign in with', () => {
  test('J12: who is right here is signed in there as whom it says; the user’s own password stays here', async () => {
    asked = []
    answer = { to: 'v2', user: user('v2').name, password }
    expect(await signInAsDirected({ ...ann, password: 'wrong' })).toContain('[AUTHENTICATIONFAILED]')
    expect(asked).toEqual([])
    expect(await signInAsDirected(ann)).toMatch(/^a OK /)
    const record = await gateway.waitForLog('where it went', ({ event, listener: name }) => {
      return event === 'imap.handed-on' && name === 'directed'
    })
    expect(record).toMatchObject({ upstream: 'v2', username: ann.name })
    await dovecot.waitForLog('the login', new RegExp(`Login: user=<${user('v2').name}>, rip=127`))
    expect(asked).toMatchObject([{ kind: 'login', username: ann.name, listener: 'directed' }])
    expect(JSON.stringify(asked)).not.toContain(ann.password)
  })

  test('4.3.16: what it gave for somebody who has moved is forgotten when the backend refuses, and asked for anew', async () => {
    answer = { to: 'v2', user: 'nobody-by-now@example.com', password }
    expect(await signInAsDirected(dora)).toContain('[SERVERBUG]')
    answer = { to: 'v1', user: user('v1').name, password }
    // A young answer stays; then the refusal itself leads on to where the user is now.
    await eventually('dora to be signed in where she is now', async () =>
      (await signInAsDirected(dora))?.startsWith('a OK') === true ? true : undefined,
    )
    await gateway.waitForLog('where it went', ({ event, username, upstream: name }) => {
      return event === 'imap.handed-on' && username === dora.name && name === 'v1'
    })
  })
})

test('C2: imapflow compresses, idles, and hears at once what another client adds; curl reads it', async () => {
  const idler = await openImap(ports.users, user('flow'))
  await idler.mailboxOpen('INBOX')
  expect(idler.capabilities.has('COMPRESS=DEFLATE')).toBe(true)
  expect(Reflect.get(idler, '_deflate'), 'the connection is compressed').toBeTruthy()
  const heard = new Promise<number>((resolve) => idler.once('exists', ({ count }: { count: number }) => resolve(count)))
  const idling = idler.idle()
  const writer = await openImap(ports.users, user('flow'))
  const body = 'x'.repeat(70).concat('\r\n').repeat(5_000)
  await writer.append('INBOX', `Subject: through the proxy\r\n\r\n${body}`)
  expect(await heard).toBe(1)
  await idler.noop()
  await idling
  const message = await idler.fetchOne('1', { source: true })
  expect((message || undefined)?.source?.toString()).toBe(`Subject: through the proxy\r\n\r\n${body}`)
  await writer.logout()
  await idler.logout()
  const { name } = user('flow')
  const url = `imap://127.0.0.1:${ports.users}/INBOX;MAILINDEX=1`
  const read = await peer('curl', ['-s', '--insecure', '--ssl-reqd', '--user', `${name}:${password}`, url])
  expect(read).toMatchObject({ code: 0, stdout: expect.stringContaining('Subject: through the proxy') })
})

test('examples/imap-proxy: the domain of a user says where the login goes', async () => {
  const { imaps, admin, down } = await freePorts('imaps', 'admin', 'down')
  const front = await startGateway({
    config: example('imap-proxy/postern.toml', {
      '"/var/lib/postern"': '"data"',
      '"10.0.0.10"': '"127.0.0.1"',
      '10.0.0.11:993"': `127.0.0.1:${imaps}"`,
      '/etc/postern/imap.pem': certificate.cert,
      '/etc/postern/imap.key': certificate.key,
      '/etc/postern/backends.pem': certificate.cert,
      '"mail.example.org"': '"mx.example.org"',
      '127.0.0.1:2080': `127.0.0.1:${admin}`,
      '"10.0.0.21:143"': `"127.0.0.1:${dovecot.ports.plain}"`,
      // The second one is down, and must not matter.
      '"10.0.0.22:143"': `"127.0.0.1:${down}"`,
      '"10.0.0.31:143"': `"127.0.0.1:${dovecot.ports.proxied}"`,
    }),
    adminPort: admin,
    accounts: [],
  })
  onTestFinished(() => front.stop())
  for (const [account, client] of [
    [inOrg, '203.0.113.71'],
    [inNet, '203.0.113.72'],
  ] as const) {
    const dialogue = await Dialogue.connect(imaps)
    dialogue.send(`PROXY TCP4 ${client} 198.51.100.5 45678 993\r\n`)
    await dialogue.startTls()
    await dialogue.line()
    expect((await dialogue.imap(login(account))).at(-1)).toMatch(/^a OK/)
    await dovecot.waitForLog(client, new RegExp(`Login: user=<${account.name}>, rip=${client},`))
    dialogue.destroy()
  }
})

test('LG-02: no password is in any log', async () => {
  await gateway.settleLog()
  const everything = JSON.stringify(gateway.log)
  for (const word of [
    password,
    'm4ster',
    ann.password,
    Buffer.from(`\0${user('v2').name}\0${password}`).toString('base64'),
  ]) {
    expect(everything).not.toContain(word)
  }
})

/** One of several that front the same mail. */
async function startOne(): Promise<Gateway & { readonly port: number }> {
  const { imap, admin } = await freePorts('imap', 'admin')
  const config = [
    '[proxy]\ntrusted-networks = ["127.0.0.1"]',
    signIn(listener('imap', { protocol: 'imap', bind: imap, tls: 'implicit', mode: 'require' })),
    `[upstream.boxes]\nprotocol = "imap"\nbackends = ["127.0.0.1:${dovecot.ports.proxied}"]\nannounce = "proxy-v2"\ncredentials-in-clear = true`,
    '[[route]]\nto = "boxes"',
    `[tls]\ncertificates = [{ cert = "${certificate.cert}", key = "${certificate.key}" }]`,
  ]
  return { ...(await startGateway({ config: config.join('\n\n'), adminPort: admin, accounts: [] })), port: imap }
}

test('J7: two gateways behind one HAProxy, one of them killed under load: what was acknowledged is there', async () => {
  const [one, other] = await Promise.all([startOne(), startOne()])
  const { front } = await freePorts('front')
  const haproxy = await startHaproxy(`defaults
  mode tcp
  timeout connect 2s
  timeout client 30s
  timeout server 30s
  retries 2
  option redispatch
frontend imap
  bind 127.0.0.1:${front}
  default_backend gateways
backend gateways
  balance roundrobin
  server one 127.0.0.1:${one.port} send-proxy-v2 check inter 200ms rise 1 fall 1 on-marked-down shutdown-sessions
  server other 127.0.0.1:${other.port} send-proxy-v2 check inter 200ms rise 1 fall 1`)
  onTestFinished(() => haproxy.stop())
  await haproxy.waitUntilUp('gateways', 'one')
  await haproxy.waitUntilUp('gateways', 'other')

  const load = new Appending(front, 4)
  await load.acknowledgedMore(20)
  await one.kill()
  await load.acknowledgedMore(20)
  await load.stop()
  expect(load.reconnects).toBeGreaterThan(0)
  const client = await connect(ports.users)
  await client.imap(login(user('v2')))
  const exists = (await client.imap('b SELECT INBOX')).find((line) => /^\* \d+ EXISTS$/.test(line))
  const lines = await client.imap(`c FETCH 1:${exists?.split(' ')[1]} (BODY.PEEK[HEADER.FIELDS (SUBJECT)])`)
  const there = new Set(lines.map((line) => /^Subject: (load-\d+)$/.exec(line)?.[1]))
  expect([...load.acknowledged].filter((subject) => !there.has(subject))).toEqual([])
  await other.stop()
})

/** Clients that append messages one after the other, and come back when their connection is gone. */
class Appending {
  readonly acknowledged = new Set<string>()
  reconnects = 0
  #next = 0
  #isOver = false
  readonly #clients: Promise<void>[]

  constructor(port: number, clients: number) {
    this.#clients = Array.from({ length: clients }, () => this.#run(port))
  }

  async acknowledgedMore(count: number): Promise<void> {
    const wanted = this.acknowledged.size + count
    await eventually(`${count} more messages`, () => (this.acknowledged.size >= wanted ? true : undefined), 30_000)
  }

  async stop(): Promise<void> {
    this.#isOver = true
    await Promise.all(this.#clients)
  }

  async #run(port: number): Promise<void> {
    while (!this.#isOver) {
      try {
        const client = await Dialogue.connect(port)
        await client.startTls()
        await client.line()
        const [signedIn = ''] = (await client.imap(login(user('v2')))).slice(-1)
        while (!this.#isOver && signedIn.startsWith('a OK')) {
          const subject = `load-${(this.#next += 1)}`
          const message = `Subject: ${subject}\r\n\r\nbody\r\n`
          client.command(`b APPEND INBOX {${message.length}}`)
          if (!(await client.line()).startsWith('+')) break
          client.command(message)
          if ((await client.line()).startsWith('b OK')) this.acknowledged.add(subject)
        }
        client.destroy()
      } catch {
        this.reconnects += 1
      }
    }
  }
}

describe('a backend that goes away', () => {
  test('X4: its clients hear BYE, others that it is unavailable, and a balancer that looks hears it, too', async () => {
    const client = await connect(ports.users)
    expect((await client.imap(login(user('v2')))).at(-1)).toMatch(/^a OK/)
    await dovecot.stop()
    // Dovecot takes its leave by itself.
    expect(await client.end()).toMatch(/^\* BYE .*\r\n$/)
    const late = await connect(ports.users)
    const startedAt = performance.now()
    expect(await late.imap(login(user('v2')))).toEqual(['a NO [UNAVAILABLE] Account is temporarily unavailable.'])
    expect(performance.now() - startedAt).toBeLessThan(20_000)
    await eventually('that it is down', async () => {
      const check = await Dialogue.connect(ports.behind)
      check.send(v2Local)
      const greeting = await check.line()
      check.destroy()
      return greeting.startsWith('* BYE [UNAVAILABLE]') ? true : undefined
    })
  })
})
