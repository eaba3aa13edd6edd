// Who may send a PROXY header, who must, who must not; and what each is told. The tests play the balancer.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { captured } from '../kit/captured.ts'
import { listener } from '../kit/configuration.ts'
import { Dialogue } from '../kit/dialogue.ts'
import { ann, startGateway, type Gateway, type LogRecord } from '../kit/gateway.ts'
import { eventually } from '../kit/patience.ts'
import { peerPath } from '../kit/peers.ts'
import { freePorts } from '../kit/ports.ts'
import { ends, sslTlv, tlv, v1, v2, v2Bytes, v2Local } from '../kit/proxy-header.ts'
import { start } from '../kit/run.ts'

const ports = await freePorts(
  ...([
    'admin',
    'require',
    'require-imap',
    'mixed',
    'mixed-imap',
    'off',
    'optional',
    'own',
    'everybody',
    'dual',
    'once',
  ] as const),
)
const balancer = '127.0.0.1'
const stranger = '127.0.0.66'
let gateway: Gateway

beforeAll(async () => {
  const tables = [
    // W2: hosts and networks, of both families.
    '[proxy]\ntrusted-networks = ["127.0.0.1", "127.0.4.0/24", "::1", "2001:db8::/32"]\nheader-timeout = "3s"',
    listener('require', { protocol: 'smtp', bind: ports.require, mode: 'require' }),
    listener('require-imap', { protocol: 'imap', bind: ports['require-imap'], mode: 'require' }),
    listener('mixed', { protocol: 'smtp', bind: ports.mixed }),
    listener('mixed-imap', { protocol: 'imap', bind: ports['mixed-imap'] }),
    listener('off', { protocol: 'smtp', bind: ports.off, mode: 'off' }),
    listener('optional', {
      protocol: 'smtp',
      bind: ports.optional,
      mode: 'optional',
      proxy: 'optional-wait = "2s"',
    }),
    // W3: a list of its own, in which the global one has no say.
    listener('own', { protocol: 'smtp', bind: ports.own, trusted: ['127.0.0.9'] }),
    // S1, S3: everybody, spelled out.
    listener('everybody', {
      protocol: 'smtp',
      bind: [`[::]:${ports.everybody}`],
      mode: 'require',
      trusted: ['0.0.0.0/0', '::/0'],
    }),
    // W7: a dual-stack socket, on which an IPv4 peer looks like ::ffff:127.0.0.1.
    listener('dual', { protocol: 'smtp', bind: [`[::]:${ports.dual}`], trusted: ['127.0.0.0/24'] }),
    listener('once', {
      protocol: 'smtp',
      bind: ports.once,
      mode: 'require',
      proxy: 'refuse-second-header = true',
    }),
    '[policy.concurrency]\nconnections-per-client = "unlimited"',
  ]
  gateway = await startGateway({ config: tables.join('\n\n'), adminPort: ports.admin })
})
afterAll(async () => {
  await gateway?.stop()
})

function refusalOf(name: string, client: Dialogue): Promise<LogRecord> {
  return gateway.waitForLog(
    `the refusal of port ${client.localPort} at ${name}`,
    (record) => record.event === 'proxy.refused' && client.isIn(record, name),
  )
}

/** Connects as a balancer, sends a header, and greets. */
async function greetedAs(port: number, header: Buffer, from = balancer): Promise<string> {
  const client = await Dialogue.connect(port, { from })
  client.send(header)
  expect((await client.reply()).code).toBe(220)
  const { lines } = await client.ask('EHLO client.example.net')
  await client.ask('QUIT')
  await client.end()
  return lines[0] ?? ''
}

describe('a trusted peer', () => {
  test.each([
    ['v1, IPv4', v1(), '203.0.113.7'],
    ['v1, IPv6', v1({ ...ends, source: '2001:db8::7', destination: '2001:db8::1' }), '2001:db8::7'],
    ['v2, IPv4', v2(), '203.0.113.7'],
    ['v2, IPv6', v2({ ...ends, source: '2001:db8::7', destination: '2001:db8::1' }), '2001:db8::7'],
    ['v2, IPv4-mapped', v2({ ...ends, source: '::ffff:cb00:7107', destination: '::ffff:c633:6405' }), '203.0.113.7'],
    ['v2 with TLVs', v2(ends, { tlvs: [tlv(0x02, 'mx.example.org'), tlv(0x05, 'id-1')] }), '203.0.113.7'],
    ['v2 with an SSL TLV', v2(ends, { tlvs: [sslTlv(1, 0, [tlv(0x21, 'TLSv1.3')])] }), '203.0.113.7'],
    ['v2 with CRC32C', v2(ends, { crc: true }), '203.0.113.7'],
  ])('S19, W1, H12: the version is told by the bytes: %s', async (_, header, client) => {
    expect(await greetedAs(ports.require, header)).toContain(client)
  })

  test.each(Object.entries(captured))('J6, C7: the header of %s', async (_, { bytes, ...expected }) => {
    expect(await greetedAs(ports.require, bytes)).toContain(expected.client)
    const record = await gateway.waitForLog(
      'its header',
      ({ event, ...fields }) => event === 'proxy.accepted' && fields['client'] === expected.client,
    )
    expect(record).toMatchObject(expected)
  })

  test('S4, W10, H10: the log names both ends as the header does, and the network that trusted its sender', async () => {
    const at = { source: '203.0.113.77', sourcePort: 1077, destination: '198.51.100.77', destinationPort: 2525 }
    await greetedAs(ports.require, v2(at))
    const record = await gateway.waitForLog(
      'the header',
      (each) => each.event === 'proxy.accepted' && each['client'] === at.source,
    )
    expect(record).toMatchObject({
      client: at.source,
      clientPort: at.sourcePort,
      destination: at.destination,
      destinationPort: at.destinationPort,
      proxy: balancer,
      via: 'v2',
      listener: 'require',
      network: '127.0.0.1',
    })
  })

  test.each([
    ['the whole of v1', v1()],
    ['the whole of v2 with TLVs', v2(ends, { tlvs: [tlv(0x02, 'mx.example.org')], crc: true })],
  ])('J8, S15: header and first command in one segment: %s', async (_, header) => {
    const client = await Dialogue.connect(ports.require)
    client.send(Buffer.concat([header, Buffer.from('EHLO client.example.net\r\n')]))
    expect((await client.reply()).code).toBe(220)
    const hello = await client.reply()
    expect(hello.lines[0]).toContain('203.0.113.7')
    expect(hello.lines).toContain('PIPELINING')
    await client.ask('QUIT')
    expect(await client.end()).toBe('')
  })

  test.each([
    ['v1', v1()],
    ['v2', v2(ends, { tlvs: [tlv(0x05, 'id-1')], crc: true })],
  ])('C8: a header that comes a byte at a time, and the command behind it: %s', async (_, header) => {
    const client = await Dialogue.connect(ports.require)
    await client.sendInPieces(Buffer.concat([header, Buffer.from('EHLO client.example.net\r\n')]), 1)
    expect((await client.reply()).code).toBe(220)
    expect((await client.reply()).lines[0]).toContain('203.0.113.7')
    client.destroy()
  })

  test('S15: what nc sends is greeted, EHLO works and offers PIPELINING', async () => {
    const nc = start(peerPath('nc'), ['127.0.0.1', String(ports.require)])
    let stdout = ''
    nc.stdout?.on('data', (chunk: Buffer) => (stdout += chunk.toString()))
    // Its input stays open, as a terminal is: at its end it would go, whatever comes.
    nc.stdin?.write('PROXY TCP4 192.168.1.100 10.0.0.1 45678 25\r\nEHLO client.example.net\r\nQUIT\r\n')
    await eventually('the reply to QUIT', () => /\r\n221 .*\r\n/.test(stdout) || undefined)
    nc.kill()
    expect(stdout).toMatch(/^220 /)
    expect(stdout).toMatch(/250-.*\[?192\.168\.1\.100/)
    expect(stdout).toMatch(/\r\n250[- ]PIPELINING\r\n/)
    expect(stdout).toMatch(/\r\n221 /)
  })

  test('H3: gets no greeting until its header came', async () => {
    const client = await Dialogue.connect(ports.require)
    const header = v2()
    client.send(header.subarray(0, 20))
    // Another connection is served in the meantime, on the same listener.
    await greetedAs(ports.require, v1())
    expect(client.pending).toHaveLength(0)
    client.send(header.subarray(20))
    expect((await client.reply()).code).toBe(220)
    client.destroy()
  })

  test.concurrent.each([
    ['SMTP', 'require', /^421 4\.7\.0 .*PROXY timed out\r\n$/],
    ['IMAP', 'require-imap', /^\* BYE .*PROXY timed out\r\n$/],
  ] as const)('S18, H4, W5: silence ends at the header timeout: %s', async (_, port, expected) => {
    const begun = performance.now()
    const client = await Dialogue.connect(ports[port])
    expect(await client.end()).toMatch(expected)
    const ms = performance.now() - begun
    expect(ms).toBeGreaterThan(2_900)
    expect(ms).toBeLessThan(15_000)
    const record = await refusalOf(port, client)
    expect(record).toMatchObject({ reason: 'proxy-timeout', proxy: balancer })
    expect(record.msg).toMatch(/sent nothing for 3 s: .*holds the header back/)
  })

  test.concurrent('S18: bytes that trickle in do not move the deadline', async () => {
    const begun = performance.now()
    const client = await Dialogue.connect(ports.require)
    const header = v1()
    let at = 0
    const trickle = setInterval(() => {
      client.send(header.subarray(at, (at += 1)))
    }, 500)
    expect(await client.end()).toMatch(/^421 4\.7\.0 /)
    clearInterval(trickle)
    expect(performance.now() - begun).toBeLessThan(15_000)
  })

  test.each([
    ['SMTP', 'require', 'EHLO client.example.net\r\n', /^421 4\.7\.0 .*PROXY header required\r\n$/],
    ['SMTP on a mixed listener', 'mixed', 'EHLO client.example.net\r\n', /^421 4\.7\.0 .*PROXY header required\r\n$/],
    ['IMAP', 'require-imap', 'a CAPABILITY\r\n', /^\* BYE .*PROXY header required\r\n$/],
  ] as const)(
    'J10, W5, H1: one that sends none is told so, closed, and logged: %s',
    async (_, port, first, expected) => {
      const client = await Dialogue.connect(ports[port])
      client.send(first)
      expect(await client.end()).toMatch(expected)
      const record = await refusalOf(port, client)
      expect(record).toMatchObject({ reason: 'proxy-missing', proxy: balancer })
      expect(record.msg).toContain(balancer)
    },
  )

  test.each([
    ['v1 UNKNOWN', Buffer.from('PROXY UNKNOWN\r\n')],
    ['v1 UNKNOWN with addresses', Buffer.from('PROXY UNKNOWN 203.0.113.7 198.51.100.5 1 2\r\n')],
    ['v2 LOCAL', v2Local],
    ['v2 LOCAL with a block', v2Bytes({ command: 0, block: v2().subarray(16) })],
    ['v2 UNSPEC', v2Bytes({ family: 0 })],
  ])('J15, S13, W9: %s means the peer itself', async (_, header) => {
    const client = await Dialogue.connect(ports.require)
    client.send(header)
    expect((await client.reply()).code).toBe(220)
    const { lines } = await client.ask('EHLO balancer.example.org')
    expect(lines[0]).toContain(balancer)
    expect(lines[0]).not.toContain('203.0.113.7')
    expect((await client.ask('NOOP')).code).toBe(250)
    expect((await client.ask('QUIT')).code).toBe(221)
    await client.end()
  })

  test('W9, J15: a balancer that speaks for itself may not send mail', async () => {
    const client = await Dialogue.connect(ports.require)
    client.send(v2Local)
    await client.reply()
    await client.ask('EHLO balancer.example.org')
    const codes = [await client.ask('MAIL FROM:<bob@example.net>'), await client.ask(`RCPT TO:<${ann.name}>`)]
    expect(codes.some(({ code }) => code >= 500)).toBe(true)
    expect((await client.ask('DATA')).code).toBeGreaterThanOrEqual(500)
    client.destroy()
  })

  test('H11, S20: the header is honoured once; later it is an unknown command', async () => {
    const client = await Dialogue.connect(ports.require)
    client.send(v1())
    await client.reply()
    await client.ask('EHLO client.example.net')
    const again = await client.ask('PROXY TCP4 192.0.2.99 198.51.100.5 1 25')
    expect(again.code).toBe(500)
    expect((await client.ask('EHLO client.example.net')).lines[0]).toContain('203.0.113.7')
    await client.ask('MAIL FROM:<bob@example.net>')
    expect((await client.ask('PROXY TCP4 192.0.2.99 198.51.100.5 1 25')).code).toBe(500)
    await client.ask('QUIT')
    await client.end()
    expect(gateway.log.some((record) => record['client'] === '192.0.2.99')).toBe(false)
  })

  test('S20: a second header right behind the first is an unknown command, and no second identity', async () => {
    const client = await Dialogue.connect(ports.require)
    client.send(Buffer.concat([v1(), v1({ ...ends, source: '192.0.2.98' })]))
    expect((await client.reply()).code).toBe(220)
    expect((await client.reply()).code).toBe(500)
    expect((await client.ask('EHLO client.example.net')).lines[0]).toContain('203.0.113.7')
    client.destroy()
  })

  test.each([
    ['v1 v1', v1(), v1()],
    ['v2 v2', v2(), v2()],
    ['v1 v2', v1(), v2()],
    ['v2 v1', v2(), v1()],
  ])('S20: with refuse-second-header it ends the connection, and is counted: %s', async (_, first, second) => {
    const client = await Dialogue.connect(ports.once)
    client.send(Buffer.concat([first, second]))
    expect(await client.end()).toMatch(/^421 4\.7\.0 /)
    expect(await refusalOf('once', client)).toMatchObject({ reason: 'proxy-again', proxy: balancer })
  })

  test('W2: a host of a trusted network, and IPv6 loopback', async () => {
    expect(await greetedAs(ports.mixed, v2(), '127.0.4.77')).toContain('203.0.113.7')
    const client = await Dialogue.connect(ports.dual, { host: '::1' })
    expect((await client.reply()).code).toBe(220)
    expect((await client.ask('EHLO client.example.net')).lines[0]).toContain('::1')
    client.destroy()
  })
})

describe('an untrusted peer', () => {
  test('J11, S2: is a direct client on a port that trusted balancers share', async () => {
    const client = await Dialogue.connect(ports.mixed, { from: stranger })
    expect((await client.reply()).code).toBe(220)
    expect((await client.ask('EHLO client.example.net')).lines[0]).toContain(stranger)
    await client.ask('QUIT')
    await client.end()
    expect(await greetedAs(ports.mixed, v2())).toContain('203.0.113.7')
  })

  test('J10: is refused where only balancers are served', async () => {
    const client = await Dialogue.connect(ports.require, { from: stranger })
    expect(await client.end()).toMatch(/^421 4\.7\.0 .*trusted proxies only\r\n$/)
    expect(await refusalOf('require', client)).toMatchObject({ reason: 'not-trusted', client: stranger })
  })

  test.each([
    ['v1', 'mixed', v1()],
    ['v2', 'mixed', v2()],
    ['v1', 'off', v1()],
    ['v2', 'off', v2()],
  ] as const)(
    'H1, W4, J11: a header from it (%s, listener %s) is a temporary failure, and the log names the mend',
    async (_, name, header) => {
      const client = await Dialogue.connect(ports[name], { from: stranger })
      expect((await client.reply()).code).toBe(220)
      client.send(header)
      expect(await client.end()).toMatch(/^421 4\.7\.0 /)
      const record = await refusalOf(name, client)
      expect(record).toMatchObject({ reason: 'proxy-untrusted', client: stranger })
      expect(record.msg).toBe(
        name === 'off'
          ? `${stranger} sent a PROXY header but listener off takes none (proxy.mode = "off"): ` +
              `if it is your balancer, add ${stranger} to trusted-networks, and set proxy.mode to "require" or "mixed"`
          : `${stranger} sent a PROXY header but is in no trusted network of listener ${name}: ` +
              `if it is your balancer, add ${stranger} to trusted-networks`,
      )
      // Had the header been believed, the stranger would stand as its sender in the log.
      expect(gateway.log.filter((each) => each['proxy'] === stranger && each['listener'] === name)).toEqual([])
    },
  )

  test('H1, W4: on IMAP it is BYE', async () => {
    const client = await Dialogue.connect(ports['mixed-imap'], { from: stranger })
    expect(await client.line()).toMatch(/^\* OK /)
    client.send(v1())
    expect(await client.end()).toMatch(/^\* BYE /)
    expect(await refusalOf('mixed-imap', client)).toMatchObject({ reason: 'proxy-untrusted' })
  })

  test("W3: a listener's own list replaces the global one", async () => {
    expect(await greetedAs(ports.own, v1(), '127.0.0.9')).toContain('203.0.113.7')
    const client = await Dialogue.connect(ports.own, { from: balancer })
    expect((await client.reply()).code).toBe(220)
    client.send(v1())
    expect(await client.end()).toMatch(/^421 4\.7\.0 /)
    expect(await refusalOf('own', client)).toMatchObject({ reason: 'proxy-untrusted' })
  })
})

describe('other rules', () => {
  test('OP-05, S1, S3, W7: everybody may be trusted, IPv4 peers of a dual-stack socket included, only when spelled out, and with a loud warning at start', async () => {
    expect(await greetedAs(ports.everybody, v1(), stranger)).toContain('203.0.113.7')
    const silent = await Dialogue.connect(ports.everybody, { from: stranger })
    silent.send('EHLO client.example.net\r\n')
    expect(await silent.end()).toMatch(/^421 4\.7\.0 /)
    const warnings = gateway.log.filter(({ event, level }) => event === 'config.warning' && level === 'warn')
    expect(warnings.map((each) => each['path'])).toEqual([
      'listener.everybody.proxy.trusted-networks[0]',
      'listener.everybody.proxy.trusted-networks[1]',
    ])
    expect(warnings[0]?.msg).toContain('trusts everybody')
  })

  test('W7: an IPv4 peer of a dual-stack socket matches IPv4 networks', async () => {
    expect(await greetedAs(ports.dual, v2(), '127.0.0.5')).toContain('203.0.113.7')
    const client = await Dialogue.connect(ports.dual, { from: '127.0.9.5' })
    expect((await client.reply()).code).toBe(220)
    expect((await client.ask('EHLO client.example.net')).lines[0]).toMatch(/127\.0\.9\.5/)
    expect(client.transcript).not.toContain('::ffff')
    client.destroy()
  })

  test('optional: with a header the client is its, without one the peer is greeted after a moment', async () => {
    expect(await greetedAs(ports.optional, v1())).toContain('203.0.113.7')
    const client = await Dialogue.connect(ports.optional)
    expect((await client.reply()).code).toBe(220)
    expect((await client.ask('EHLO client.example.net')).lines[0]).toContain(balancer)
    client.destroy()
  })
})
