// First bytes from a trusted peer that are no valid header: each is refused in the grammar of its protocol, closed, and
// logged; nothing else notices.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { listener } from '../kit/configuration.ts'
import { Dialogue } from '../kit/dialogue.ts'
import { startGateway, type Gateway } from '../kit/gateway.ts'
import { freePorts } from '../kit/ports.ts'
import { ends, sslTlv, tlv, v1, v2, v2Bytes } from '../kit/proxy-header.ts'

const ports = await freePorts('admin', 'smtp', 'imap')
let gateway: Gateway

beforeAll(async () => {
  const tables = [
    '[proxy]\ntrusted-networks = ["127.0.0.1"]\nheader-timeout = "1m"',
    listener('mx', { protocol: 'smtp', bind: ports.smtp, mode: 'require' }),
    listener('imap', { protocol: 'imap', bind: ports.imap, mode: 'require' }),
  ]
  gateway = await startGateway({ config: tables.join('\n\n'), adminPort: ports.admin })
})
afterAll(async () => {
  await gateway?.stop()
})

const block = v2().subarray(16)
const damaged = v2(ends, { crc: true })
damaged[20] = (damaged[20] ?? 0) ^ 1

const rows: readonly (readonly [string, string | Uint8Array])[] = [
  ['v1: a family word in lower case', 'PROXY tcp4 203.0.113.7 198.51.100.5 45678 25\r\n'],
  ['v1: the whole line in lower case', 'proxy TCP4 203.0.113.7 198.51.100.5 45678 25\r\n'],
  ['v1: a family word that is none', 'PROXY TCP5 203.0.113.7 198.51.100.5 45678 25\r\n'],
  ['v1: UDP4, which v1 does not have', 'PROXY UDP4 203.0.113.7 198.51.100.5 45678 25\r\n'],
  ['v1: TCP4 with IPv6 addresses', 'PROXY TCP4 2001:db8::7 2001:db8::1 45678 25\r\n'],
  ['v1: TCP6 with IPv4 addresses', 'PROXY TCP6 203.0.113.7 198.51.100.5 45678 25\r\n'],
  ['v1: two families', 'PROXY TCP4 203.0.113.7 2001:db8::1 45678 25\r\n'],
  ['v1: port 99999', 'PROXY TCP4 203.0.113.7 198.51.100.5 99999 25\r\n'],
  ['v1: port with a leading zero', 'PROXY TCP4 203.0.113.7 198.51.100.5 045678 25\r\n'],
  ['v1: port with a sign', 'PROXY TCP4 203.0.113.7 198.51.100.5 +4567 25\r\n'],
  ['v1: an octet of 256', 'PROXY TCP4 203.0.113.256 198.51.100.5 45678 25\r\n'],
  ['v1: an octal octet', 'PROXY TCP4 203.0.113.007 198.51.100.5 45678 25\r\n'],
  ['v1: a short address', 'PROXY TCP4 203.113.7 198.51.100.5 45678 25\r\n'],
  ['v1: a zone id', 'PROXY TCP6 fe80::1%eth0 2001:db8::1 45678 25\r\n'],
  ['v1: a name for an address', 'PROXY TCP4 localhost 198.51.100.5 45678 25\r\n'],
  ['v1: two spaces', 'PROXY  TCP4 203.0.113.7 198.51.100.5 45678 25\r\n'],
  ['v1: a tab', 'PROXY\tTCP4 203.0.113.7 198.51.100.5 45678 25\r\n'],
  ['v1: a field too many', 'PROXY TCP4 203.0.113.7 198.51.100.5 45678 25 26\r\n'],
  ['v1: a field too few', 'PROXY TCP4 203.0.113.7 198.51.100.5 45678\r\n'],
  ['v1: LF alone ends it', 'PROXY TCP4 203.0.113.7 198.51.100.5 45678 25\n'],
  ['v1: CR alone ends it', 'PROXY TCP4 203.0.113.7 198.51.100.5 45678 25\rEHLO x\r\n'],
  ['v1: UNKNOWN ended by LF', 'PROXY UNKNOWN\n'],
  ['v1: UNKNOWNX', 'PROXY UNKNOWNX\r\n'],
  ['v1: 108 bytes without CRLF', `PROXY UNKNOWN ${'x'.repeat(94)}`],
  ['v1: 70 000 bytes', `PROXY UNKNOWN ${'x'.repeat(70_000)}`],
  [
    'v2: a wrong byte in the signature',
    Buffer.from(v2().toString('hex').replace('0d0a0d0a000d0a51', '0d0a0d0a000d0a52'), 'hex'),
  ],
  ['v2: version 1', v2Bytes({ version: 1, block })],
  ['v2: version 3', v2Bytes({ version: 3, block })],
  ['v2: command 2', v2Bytes({ command: 2, block })],
  ['v2: command 15', v2Bytes({ command: 15, block })],
  ['v2: family 4', v2Bytes({ family: 0x41, block })],
  ['v2: transport 3', v2Bytes({ family: 0x13, block })],
  ['v2: a block shorter than its family', v2Bytes({ block: block.subarray(0, 11) })],
  ['v2: an IPv4 block called IPv6', v2Bytes({ family: 0x21, block })],
  ['v2: longer than this gateway takes', v2Bytes({ block, length: 65_535 })],
  ['v2: a TLV past the end', v2Bytes({ block, tlvs: [Buffer.from([0x02, 0x00, 0xff, 0x61])] })],
  ['v2: a stray byte behind the last TLV', v2Bytes({ block, tlvs: [tlv(0x04, 'x'), Buffer.from([0x04])] })],
  ['v2: a wrong checksum', damaged],
  ['v2: a checksum of three bytes', v2Bytes({ block, tlvs: [tlv(0x03, 'abc')] })],
  ['v2: a unique id of 129 bytes', v2Bytes({ block, tlvs: [tlv(0x05, Buffer.alloc(129))] })],
  ['v2: a sub-TLV past the end of SSL', v2Bytes({ block, tlvs: [sslTlv(1, 0, [Buffer.from([0x21, 0x00, 0xff])])] })],
]

describe.each([
  ['SMTP', 'smtp', 'mx', /^421 4\.7\.0 [^\r\n]*\r\n$/, /^220 /],
  ['IMAP', 'imap', 'imap', /^\* BYE [^\r\n]*\r\n$/, /^\* OK /],
] as const)('%s', (_, port, name, refusal, greeting) => {
  test.concurrent.each(rows)('S12, S13: %s', async (__, bytes) => {
    const client = await Dialogue.connect(ports[port])
    client.send(bytes)
    expect(await client.end()).toMatch(refusal)
    const record = await gateway.waitForLog(
      'the refusal',
      (each) => each.event === 'proxy.refused' && client.isIn(each, name),
    )
    expect(record).toMatchObject({ proxy: '127.0.0.1' })
    expect(['proxy-malformed', 'proxy-missing']).toContain(record['reason'])
    expect(record['client']).toBeUndefined()
    expect(record.msg).not.toBe('')
  })

  test.each([
    ['an SMTP command', 'EHLO client.example.net\r\n'],
    ['an IMAP command', 'a CAPABILITY\r\n'],
    ['a TLS ClientHello', Buffer.from('16030100c8010000c40303', 'hex')],
    ['HTTP', 'GET / HTTP/1.1\r\nHost: mx.example.org\r\n\r\n'],
    ['empty lines', '\r\n\r\n\r\n'],
    ['PROX', 'PROX\r\n'],
    ['NUL', '\0\0\0\0'],
    ['escape sequences', '\u001b[2J\u001b[1;1HPROXY\r\n'],
  ])('S12, J10: no header at all: %s', async (__, bytes) => {
    const client = await Dialogue.connect(ports[port])
    client.send(bytes)
    expect(await client.end()).toMatch(refusal)
  })

  test('S12: the others are served meanwhile and afterwards', async () => {
    const halves = await Promise.all(
      Array.from({ length: 50 }, async () => {
        const half = await Dialogue.connect(ports[port])
        half.send(v2Bytes({ length: 4_000 }))
        return half
      }),
    )
    const client = await Dialogue.connect(ports[port])
    client.send(v1())
    expect(await client.line()).toMatch(greeting)
    client.destroy()
    for (const half of halves) half.reset()
  })

  test('S12: a peer that resets at any byte of a header ends nothing but its own connection', async () => {
    const header = v2(ends, { tlvs: [tlv(0x02, 'mx.example.org')], crc: true })
    for (let bytes = 0; bytes <= header.length; bytes += 3) {
      const client = await Dialogue.connect(ports[port])
      client.send(header.subarray(0, bytes))
      client.reset()
    }
    const client = await Dialogue.connect(ports[port])
    client.send(v2())
    expect(await client.line()).toMatch(greeting)
    client.destroy()
  })
})

test('S12: no worker died of any of it', async () => {
  await gateway.settleLog()
  expect(gateway.log.filter(({ event }) => event === 'worker.crashed' || event === 'internal-error')).toEqual([])
  expect(gateway.workers()).toHaveLength(2)
})
