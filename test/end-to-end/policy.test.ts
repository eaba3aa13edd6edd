// Policy on the client of the header: DNS lists, access rules, greetings. The tests play the balancer, and the DNS.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startStubDns, type StubDns } from '../../packages/gateway/test/kit/stub-dns.ts'
import { listener } from '../kit/configuration.ts'
import { Dialogue } from '../kit/dialogue.ts'
import { startGateway, type Gateway } from '../kit/gateway.ts'
import { freePorts } from '../kit/ports.ts'
import { ends, v1 } from '../kit/proxy-header.ts'

const ports = await freePorts('admin', 'mx', 'imap')
let dns: StubDns
let gateway: Gateway

beforeAll(async () => {
  dns = await startStubDns({
    '2.0.0.127.bl.example': ['A 127.0.0.2'],
    '7.113.0.203.bl.example': ['A 127.0.0.3'],
    '8.113.0.203.bl.example': ['A 127.0.0.3'],
    '1.0.0.127.parked.example': ['A 198.51.100.1'],
    '2.0.0.127.parked.example': ['A 198.51.100.1'],
    '9.113.0.203.parked.example': ['A 127.0.0.2'],
    '2.0.0.127.good.example': ['A 127.0.0.2'],
    '8.113.0.203.good.example': ['A 127.0.5.1'],
  })
  const tables = [
    '[proxy]\ntrusted-networks = ["127.0.0.1"]',
    `[dns]\nservers = ["${dns.address}"]\ntimeout = "20s"\nclient-names = false`,
    listener('mx', { protocol: 'smtp', bind: ports.mx, mode: 'require' }),
    listener('imap', { protocol: 'imap', bind: ports.imap, mode: 'require' }),
    `[[policy.access]]
networks = ["198.51.100.0/24"]
action = "defer"
code = 450
text = "Come again; see https://example.org/later"
[[policy.access]]
networks = ["203.0.113.128/25"]
action = "allow"
[policy]
deny = ["203.0.113.200"]
[[policy.dns-list]]
zone = "bl.example"
text = "{client} is listed by {zone}"
[[policy.dns-list]]
zone = "parked.example"
[[policy.dns-list]]
zone = "good.example"
kind = "allow"
[policy.hello]
own-name = "refuse"
address-literal = "note"`,
  ]
  gateway = await startGateway({ config: tables.join('\n\n'), adminPort: ports.admin })
})
afterAll(async () => {
  await gateway?.stop()
  dns?.close()
})

async function connectFor(source: string, port = ports.mx): Promise<Dialogue> {
  const connection = await Dialogue.connect(port)
  connection.send(v1({ ...ends, source }))
  return connection
}

/** How this client is greeted. */
async function greetingOf(source: string): Promise<string> {
  const connection = await connectFor(source)
  const { code, text } = await connection.reply()
  connection.destroy()
  return `${code} ${text}`
}

describe('H5: DNS lists are asked about the client of the header', () => {
  test('one that is listed is refused, and the log names the list and the mend', async () => {
    expect(await greetingOf('203.0.113.7')).toMatch(/^554 5\.7\.1 \S+ 203\.0\.113\.7 is listed by bl\.example/)
    const refused = await gateway.waitForLog('the refusal', (record) => record['reason'] === 'dns-list')
    expect(refused).toMatchObject({ event: 'policy.refused', client: '203.0.113.7', proxy: '127.0.0.1' })
    expect(refused['msg']).toMatch(/is on bl\.example \(127\.0\.0\.3\): .*policy\.access/)
    expect(dns.questions).toContain('A 7.113.0.203.bl.example')
    expect(dns.questions).not.toContain('A 1.0.0.127.in-addr.arpa')
  })

  test.each([
    ['on an allow list as well', '203.0.113.8'],
    ['on no list', '203.0.113.10'],
    ['on a list that lists everybody (RFC 5782 section 5)', '203.0.113.9'],
    ['allowed, and not looked up', '203.0.113.200'],
  ])('a client that is %s is greeted', async (_, client) => {
    expect(await greetingOf(client)).toMatch(/^220 /)
  })

  test('the list that lists everybody is told of', async () => {
    const record = await gateway.waitForLog('the list', ({ event }) => event === 'dns.list-unusable')
    expect(record).toMatchObject({ zone: 'parked.example', reason: 'lists-everybody', level: 'warn' })
    expect(dns.questions.filter((question) => question.includes('200.113.0.203'))).toEqual([])
  })

  test('users who read their mail are not looked up', async () => {
    const connection = await connectFor('203.0.113.7', ports.imap)
    expect(await connection.line()).toMatch(/^\* OK /)
    connection.destroy()
  })
})

test('S16: an access rule has a code and a text of its own, for IMAP as well', async () => {
  expect(await greetingOf('198.51.100.9')).toMatch(/^450 4\.7\.1 \S+ Come again; see https:\/\/example\.org\/later/)
  const connection = await connectFor('198.51.100.9', ports.imap)
  expect(await connection.end()).toMatch(
    /^\* BYE \[UNAVAILABLE\] \S+ Come again; see https:\/\/example\.org\/later\r\n$/,
  )
})

describe('greetings', () => {
  test('our own name from another host is refused', async () => {
    const connection = await connectFor('203.0.113.10')
    await connection.reply()
    expect(await connection.ask('EHLO mx.example.org')).toMatchObject({ code: 550 })
    expect(await connection.ask('EHLO host.example.net')).toMatchObject({ code: 250 })
    connection.destroy()
  })

  test('another’s address literal is noted, with the id of the connection', async () => {
    const connection = await connectFor('203.0.113.10')
    await connection.reply()
    expect(await connection.ask('EHLO [203.0.113.99]')).toMatchObject({ code: 250 })
    const noted = await gateway.waitForLog('the note', ({ event }) => event === 'policy.noted')
    expect(noted).toMatchObject({ policy: 'hello', reason: 'hello', listener: 'mx', client: '203.0.113.10' })
    expect(noted['id']).toMatch(/^[0-9a-z]{16}$/)
    connection.destroy()
  })
})
