// A greeting that comes late: who may speak before it, over real sockets and behind PROXY headers.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { listener } from '../kit/configuration.ts'
import { Dialogue } from '../kit/dialogue.ts'
import { startGateway, type Gateway } from '../kit/gateway.ts'
import { freePorts } from '../kit/ports.ts'
import { ends, v1, v2, v2Local } from '../kit/proxy-header.ts'

const ports = await freePorts('admin', 'mx', 'slowAdmin', 'slowMx', 'slowSubmission')
const delayMs = 400
const gateways: Gateway[] = []

function config(delay: string, ...listeners: readonly string[]): string {
  return [
    '[proxy]\ntrusted-networks = ["127.0.0.1"]',
    `[smtp]\ngreeting-delay = "${delay}"\ngreeting-tease = true`,
    '[policy]\nignored-hosts = ["10.0.0.0/24"]',
    ...listeners,
  ].join('\n\n')
}

/** As short as a test waits for it, and so long that whoever comes before its end is early, however slow the machine. */
beforeAll(async () => {
  const short = config(`${delayMs}ms`, listener('mx', { protocol: 'smtp', bind: ports.mx }))
  const long = config(
    '30s',
    listener('mx', { protocol: 'smtp', bind: ports.slowMx }),
    listener('submission', { protocol: 'submission', bind: ports.slowSubmission }),
  )
  gateways.push(await startGateway({ config: short, adminPort: ports.admin, accounts: [] }))
  gateways.push(await startGateway({ config: long, adminPort: ports.slowAdmin, accounts: [] }))
})
afterAll(async () => {
  for (const gateway of gateways) await gateway.stop()
})

const earlyTalker = '220-mx.example.org ESMTP\r\n421 4.7.0 Wait for the greeting\r\n'

describe('SC-14: a direct client', () => {
  test('that waits is greeted', async () => {
    const before = performance.now()
    const client = await Dialogue.connect(ports.mx, { from: '127.0.0.7' })
    expect(await client.reply()).toMatchObject({ code: 220 })
    expect(performance.now() - before).toBeGreaterThan(delayMs - 10)
    expect((await client.ask('EHLO client.example.net')).code).toBe(250)
    client.destroy()
  })

  test('that does not is sent away', async () => {
    const client = await Dialogue.connect(ports.slowMx, { from: '127.0.0.8' })
    client.send('EHLO client.example.net\r\n')
    expect(await client.end()).toBe(earlyTalker)
  })
})

describe('behind a PROXY header', () => {
  test.each([
    ['v1', v1({ ...ends, source: '203.0.113.7' })],
    ['v2', v2({ ...ends, source: '203.0.113.7' })],
  ])('J8: a command in one segment with a %s header is answered behind the greeting', async (_, header) => {
    const client = await Dialogue.connect(ports.mx)
    client.send(Buffer.concat([header, Buffer.from('EHLO client.example.net\r\n')]))
    expect(await client.reply()).toMatchObject({ code: 220 })
    expect((await client.reply()).text).toContain('[203.0.113.7]')
    client.destroy()
  })

  test('S15: a header alone gets the greeting, and EHLO works', async () => {
    const client = await Dialogue.connect(ports.mx)
    client.send('PROXY TCP4 192.168.1.100 10.0.0.1 45678 25\r\n')
    expect(await client.reply()).toMatchObject({ code: 220 })
    expect((await client.ask('EHLO client.example.net')).lines).toContain('PIPELINING')
    client.destroy()
  })

  test('SC-14: what a client sends by itself behind the header is early', async () => {
    const client = await Dialogue.connect(ports.slowMx)
    client.send(v1({ ...ends, source: '203.0.113.9' }))
    // The first line comes when the header was taken.
    const first = await client.line()
    client.send('EHLO client.example.net\r\n')
    expect(`${first}\r\n${await client.end()}`).toBe(earlyTalker)
  })

  test.each([
    ['a health check', v2Local],
    ['an ignored host', v1({ ...ends, source: '10.0.0.9' })],
  ])('%s is greeted at once, in one line', async (_, header) => {
    const client = await Dialogue.connect(ports.slowMx)
    client.send(Buffer.concat([header, Buffer.from('QUIT\r\n')]))
    expect(await client.end()).toMatch(/^220 mx\.example\.org ESMTP ready\r\n221 /)
  })
})

test('users are not made to wait', async () => {
  const client = await Dialogue.connect(ports.slowSubmission, { from: '127.0.0.9' })
  client.send('QUIT\r\n')
  expect(await client.end()).toMatch(/^220 mx\.example\.org ESMTP ready\r\n221 /)
})
