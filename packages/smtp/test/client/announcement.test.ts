// Whom a backend is told that the client is.
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { ipv4FromBytes, parseProxyHeader, type ParseStatus, type ProxyHeader } from '@postern/core'
import { expect, onTestFinished, test } from 'vitest'
import { Client, type transactionOf } from './relaying.ts'
import { ScriptedBackend, tlsFiles } from './scripted-backend.ts'

type Transaction = Parameters<typeof transactionOf>[0]

const offering = (xclient: string): string => `
  S: 220 mx1.example
  C: EHLO gate.example
  S: 250-mx1.example
  S: 250 ${xclient}
`
const transaction = `
  C: MAIL FROM:<bob@example.com>
  S: 250 OK
  C: RCPT TO:<ann@example.org>
  S: 250 OK
  C: QUIT
  S: 221 bye
`
const postfix = 'XCLIENT NAME ADDR PROTO HELO REVERSE_NAME PORT LOGIN DESTADDR DESTPORT'

async function announce(script: string, how: 'xclient' | 'xforward', client: Transaction = {}): Promise<string> {
  const backend = await ScriptedBackend.start(script)
  const sender = new Client([backend], { announcement: how }, client)
  const reply = await sender.recipient()
  await sender.delivery.abort()
  await backend.ended()
  expect(backend.surprises).toEqual([])
  return reply
}

test('XCLIENT says all that was asked for, ADDR last, and begins anew', async () => {
  const script = `
    ${offering(postfix)}
    C: XCLIENT HELO=client.example PROTO=ESMTP LOGIN=ann NAME=[UNAVAILABLE] REVERSE_NAME=[UNAVAILABLE] DESTADDR=192.0.2.1 DESTPORT=25 PORT=45678 ADDR=203.0.113.7
    S: 220 mx1.example
    C: EHLO gate.example
    S: 250 mx1.example
    ${transaction}`
  expect(await announce(script, 'xclient', { username: 'ann' })).toBe('250 OK')
})

test.each([
  ['that leads back', { verified: 'a.example', claimed: 'a.example' }, 'NAME=a.example REVERSE_NAME=a.example'],
  ['that is a claim', { claimed: 'b.example' }, 'NAME=[UNAVAILABLE] REVERSE_NAME=b.example'],
  ['that is not known yet', { isUnknown: true }, 'NAME=[TEMPUNAVAIL] REVERSE_NAME=[TEMPUNAVAIL]'],
] as const)('XCLIENT says a name %s', async (_, clientNames, words) => {
  const script = `
    ${offering('XCLIENT NAME REVERSE_NAME ADDR')}
    C: XCLIENT ${words} ADDR=203.0.113.7
    S: 220 mx1.example
    C: EHLO gate.example
    S: 250 mx1.example
    ${transaction}`
  expect(await announce(script, 'xclient', { clientNames })).toBe('250 OK')
})

test('XFORWARD says the name that leads back', async () => {
  const script = `
    ${offering('XFORWARD NAME ADDR')}
    C: XFORWARD NAME=a.example ADDR=203.0.113.7
    S: 250 ok
    ${transaction}`
  expect(await announce(script, 'xforward', { clientNames: { verified: 'a.example' } })).toBe('250 OK')
})

test('PO-06: IPv6 has its prefix, and what was not offered is not said', async () => {
  const script = `
    ${offering('XCLIENT ADDR PORT')}
    C: XCLIENT PORT=45678 ADDR=IPV6:2001:db8::7
    S: 250 ok
    C: EHLO gate.example
    S: 250 mx1.example
    ${transaction}`
  expect(await announce(script, 'xclient', { client: '2001:db8::7', destination: '2001:db8::1' })).toBe('250 OK')
})

test('PO-02: a balancer that speaks for itself is nobody’s client', async () => {
  const script = `
    ${offering('XCLIENT ADDR PORT')}
    C: XCLIENT PORT=[UNAVAILABLE] ADDR=[UNAVAILABLE]
    S: 250 ok
    C: EHLO gate.example
    S: 250 mx1.example
    ${transaction}`
  expect(await announce(script, 'xclient', { origin: 'proxy-itself' })).toBe('250 OK')
})

test('PO-07: a backend that offers XCLIENT again and again is told once', async () => {
  const script = `
    ${offering('XCLIENT ADDR')}
    C: XCLIENT ADDR=203.0.113.7
    S: 220 mx1.example
    C: EHLO gate.example
    S: 250-mx1.example
    S: 250 XCLIENT ADDR
    ${transaction}`
  expect(await announce(script, 'xclient')).toBe('250 OK')
})

test.each([
  ['refuses it', `${offering('XCLIENT ADDR')}D:\nS: 501 5.5.4 no`, /^451 4\.3\.5 /],
  ['is not allowed to take it', `${offering('XCLIENT ADDR')}D:\nS: 550 5.7.0 no`, /^451 4\.3\.5 /],
  ['answers 421', `${offering('XCLIENT ADDR')}D:\nS: 421 bye`, /^451 4\.3\.2 /],
  ['answers 450', `${offering('XCLIENT ADDR')}D:\nS: 450 later`, /^451 4\.3\.2 /],
  ['answers nonsense', `${offering('XCLIENT ADDR')}D:\nS: ok`, /^451 4\.5\.0 /],
  ['refuses EHLO behind it', `${offering('XCLIENT ADDR')}D:\nS: 220 x\nD:\nS: 550 no`, /^451 4\.3\.5 /],
  ['does not offer it', offering('SIZE 0'), /^451 4\.3\.5 /],
  ['does not offer ADDR', offering('XCLIENT NAME PORT'), /^451 4\.3\.5 /],
] as const)('PO-07: a backend that %s gets no mail in our own name', async (_, script, reply) => {
  expect(await announce(script, 'xclient')).toMatch(reply)
})

test('only when it is said to be optional mail goes on without it', async () => {
  const backend = await ScriptedBackend.start(`${offering('SIZE 0')}${transaction}`)
  const client = new Client([backend], { announcement: 'xclient', isAnnouncementOptional: true })
  expect(await client.recipient()).toBe('250 OK')
})

test('XFORWARD tells the backend’s log, and nothing is asked anew', async () => {
  const script = `
    ${offering('XFORWARD NAME ADDR PROTO HELO SOURCE PORT IDENT')}
    C: XFORWARD NAME=[UNAVAILABLE] HELO=client.example PROTO=ESMTP IDENT=test000000000001.1 SOURCE=REMOTE PORT=45678 ADDR=203.0.113.7
    S: 250 ok
    ${transaction}`
  expect(await announce(script, 'xforward')).toBe('250 OK')
})

/** Says nothing, and gives back the first segment that comes, after `count` connections. */
async function headersOf(count: number, act: (port: number) => Promise<unknown>): Promise<Buffer[]> {
  const segments: Buffer[] = []
  const server = createServer((socket) => {
    socket.once('data', (bytes: Buffer) => {
      segments.push(Buffer.from(bytes))
      socket.destroy()
    })
    socket.on('error', () => {})
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    server.close()
  })
  await act((server.address() as AddressInfo).port)
  expect(segments).toHaveLength(count)
  return segments
}

async function headerFor(version: 'proxy-v1' | 'proxy-v2', client: Transaction): Promise<Buffer> {
  const [header] = await headersOf(1, (port) =>
    new Client([{ host: '127.0.0.1', port }], { announcement: version }, client).recipient(),
  )
  return header ?? Buffer.alloc(0)
}

test.each([
  ['IPv4 to IPv4', '203.0.113.7', '192.0.2.1', 'PROXY TCP4 203.0.113.7 192.0.2.1 45678 25\r\n'],
  ['IPv6 to IPv4', '2001:db8::7', '192.0.2.1', 'PROXY TCP6 2001:db8::7 ::ffff:192.0.2.1 45678 25\r\n'],
  ['IPv4 to IPv6', '203.0.113.7', '2001:db8::1', 'PROXY TCP6 ::ffff:203.0.113.7 2001:db8::1 45678 25\r\n'],
])('PO-01: %s in one family, in one segment, and nothing before the greeting', async (_, client, destination, line) => {
  expect((await headerFor('proxy-v1', { client, destination })).toString()).toBe(line)
  const header = parsed(await headerFor('proxy-v2', { client, destination }))
  expect(`${header.source?.port} ${header.destination?.port}`).toBe('45678 25')
  expect(header.source?.address.family).toBe(client.includes(':') ? 6 : 4)
})

test('PO-02: a balancer that speaks for itself is announced as that', async () => {
  expect((await headerFor('proxy-v1', { origin: 'proxy-itself' })).toString()).toBe('PROXY UNKNOWN\r\n')
  const header = await headerFor('proxy-v2', { origin: 'proxy-itself' })
  expect(header).toHaveLength(16)
  expect(parsed(header).command).toBe('local')
})

test('PO-03: TLVs that do not fit are left out whole', async () => {
  const tlvs = Array.from({ length: 60 }, (_, index) => ({ type: 0xe0, value: Buffer.alloc(index * 10) }))
  const [header = Buffer.alloc(0)] = await headersOf(1, (port) =>
    new Client([{ host: '127.0.0.1', port }], { announcement: 'proxy-v2', proxyTlvs: () => tlvs }).recipient(),
  )
  expect(header.length).toBe(16 + header.readUInt16BE(14))
  expect(header.length).toBeLessThanOrEqual(536)
  expect(parsed(header).source?.address.equals(ipv4FromBytes(Buffer.from([203, 0, 113, 7])))).toBe(true)
})

test('a header that may not be sent opens no connection', async () => {
  const backend = await ScriptedBackend.start('')
  const client = new Client([backend], { announcement: 'proxy-v2', maxProxyHeaderBytes: 20 })
  expect(await client.recipient()).toMatch(/^451 4\.3\.5 /)
  expect(backend.connections).toBe(0)
})

test('PO-04: every connection begins with a header, also the next backend’s', async () => {
  const [first, second] = await headersOf(2, (port) => {
    const backend = { host: '127.0.0.1', port }
    return new Client([backend, backend], { announcement: 'proxy-v1' }).recipient()
  })
  expect(first?.toString()).toBe('PROXY TCP4 203.0.113.7 192.0.2.1 45678 25\r\n')
  expect(second).toEqual(first)
})

test('PO-04: the header comes once, and before TLS', async () => {
  const backend = await ScriptedBackend.start(`
    C: PROXY TCP4 203.0.113.7 192.0.2.1 45678 25
    S: 220 mx1.example
    C: EHLO gate.example
    S: 250-mx1.example
    S: 250 STARTTLS
    C: STARTTLS
    S: 220 go
    !tls
    C: EHLO gate.example
    S: 250 mx1.example
    ${transaction}`)
  const tlsOptions = { ca: tlsFiles.cert, servername: 'localhost' }
  const client = new Client([backend], { announcement: 'proxy-v1', tls: 'starttls', tlsOptions })
  expect(await client.recipient()).toBe('250 OK')
  await client.delivery.abort()
  await backend.ended()
  expect(backend.surprises).toEqual([])
})

test('PO-05: each transaction has a connection of its own', async () => {
  const backend = await ScriptedBackend.start(
    ...['203.0.113.7', '203.0.113.8'].map(
      (address) => `C: PROXY TCP4 ${address} 192.0.2.1 45678 25${offering('SIZE 0')}${transaction}`,
    ),
  )
  for (const client of ['203.0.113.7', '203.0.113.8']) {
    const sender = new Client([backend], { announcement: 'proxy-v1' }, { client })
    expect(await sender.recipient()).toBe('250 OK')
    await sender.delivery.abort()
    await backend.ended()
  }
  expect(backend.surprises).toEqual([])
  expect(backend.connections).toBe(2)
})

function parsed(bytes: Buffer): ProxyHeader {
  const parse = parseProxyHeader(bytes)
  expect(parse.status satisfies ParseStatus).toBe('done')
  if (parse.status !== 'done') throw new Error(parse.status)
  return parse.header
}
