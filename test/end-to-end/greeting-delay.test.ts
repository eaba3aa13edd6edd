// A greeting that comes late: who may speak before it, over real sockets and behind PROXY headers.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { listener } from '../kit/configuration.ts'
import { Dialogue } from '../kit/dialogue.ts'
import { startGateway, type Gateway } from '../kit/gateway.ts'
import { freePorts } from '../kit/ports.ts'
import { ends, v1, v2, v2Local } from '../kit/proxy-header.ts'

const ports = await freePorts('admin', 'mx', 'submission')
const delayMs = 400
let gateway: Gateway

beforeAll(async () => {
  const tables = [
    '[proxy]\ntrusted-networks = ["127.0.0.1"]',
    `[smtp]\ngreeting-delay = "${delayMs}ms"\ngreeting-tease = true`,
    '[policy]\nignored-hosts = ["10.0.0.0/24"]',
    listener('mx', { protocol: 'smtp', bind: ports.mx }),
    listener('submission', { protocol: 'submission', bind: ports.submission }),
  ]
  gateway = await startGateway({ config: tables.join('\n\n'), adminPort: ports.admin })
})
afterAll(async () => {
  await gateway?.stop()
})

const earlyTalker = '220-mx.example.org ESMTP\r\n421 4.7.0 Wait for the greeting\r\n'

describe('SC-14: a direct client', () => {
  test('that waits is greeted', async () => {
    const client = await Dialogue.connect(ports.mx, { from: '127.0.0.7' })
    const before = performance.now()
    expect(await client.reply()).toMatchObject({ code: 220 })
    expect(performance.now() - before).toBeGreaterThan(delayMs - 100)
    expect((await client.ask('EHLO client.example.net')).code).toBe(250)
    client.destroy()
  })

  test('that does not is sent away', async () => {
    const client = await Dialogue.connect(ports.mx, { from: '127.0.0.8' })
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
    const client = await Dialogue.connect(ports.mx)
    client.send(v1({ ...ends, source: '203.0.113.9' }))
    await gateway.waitForLog('that the header was taken', ({ client: who }) => who === '203.0.113.9')
    client.send('EHLO client.example.net\r\n')
    expect(await client.end()).toBe(earlyTalker)
  })

  test.each([
    ['a health check', v2Local],
    ['an ignored host', v1({ ...ends, source: '10.0.0.9' })],
  ])('%s is greeted at once, in one line', async (_, header) => {
    const client = await Dialogue.connect(ports.mx)
    client.send(Buffer.concat([header, Buffer.from('QUIT\r\n')]))
    expect(await client.end()).toMatch(/^220 mx\.example\.org ESMTP ready\r\n221 /)
  })
})

test('users are not made to wait', async () => {
  const client = await Dialogue.connect(ports.submission, { from: '127.0.0.9' })
  client.send('QUIT\r\n')
  expect(await client.end()).toMatch(/^220 mx\.example\.org ESMTP ready\r\n221 /)
})
