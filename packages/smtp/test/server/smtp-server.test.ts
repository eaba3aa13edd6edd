// A whole server over sockets, with a backend of a few methods behind it.
import { once } from 'node:events'
import type { Readable } from 'node:stream'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { buffer, text } from 'node:stream/consumers'
import { compileCidrSet, createTrustRule, type ReadProxyHeaderOptions, type TrustMode } from '@postern/core'
import { createTransport } from 'nodemailer'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import {
  createSmtpServer,
  serverLimits,
  type Reply,
  type SmtpBackend,
  type SmtpServer,
  type SmtpServerOptions,
  type Verdict,
} from '../../src/index.ts'
import { destinationOf } from '../../src/server/backend-contracts.ts'
import { transactionOf } from '../client/relaying.ts'
import { tlsFiles } from '../client/scripted-backend.ts'
import { Client } from './client.ts'

interface Running {
  readonly server: SmtpServer
  readonly port: number
  readonly faults: unknown[]
  readonly messages: string[]
  readonly connect: () => Client
}

/** Keeps messages as text, unless the backend has a way of its own. */
async function start(backend: Partial<SmtpBackend> = {}, options: Partial<SmtpServerOptions> = {}): Promise<Running> {
  const faults: unknown[] = []
  const messages: string[] = []
  const server = createSmtpServer({
    hostname: 'mx.example',
    backend: {
      async data(message): Promise<Verdict> {
        messages.push(await text(message))
      },
      ...backend,
    },
    observer: { failed: (error) => faults.push(error) },
    ...options,
  })
  const { port } = await server.listen(0, '127.0.0.1')
  onTestFinished(() => server.close(0))
  const connect = (): Client => {
    const client = new Client(port)
    onTestFinished(() => {
      client[Symbol.dispose]()
    })
    return client
  }
  return { server, port, faults, messages, connect }
}

async function greeted({ connect }: Running): Promise<Client> {
  const client = connect()
  expect(await client.reply()).toBe('220 mx.example ESMTP ready\r\n')
  await client.ask('EHLO client.example')
  return client
}

/** Up to the 354. */
async function inData(running: Running): Promise<Client> {
  const client = await greeted(running)
  for (const line of ['MAIL FROM:<bob@example.net>', 'RCPT TO:<ann@example.org>', 'DATA']) await client.ask(line)
  return client
}

const no = (code: number, enhanced?: string): Reply => ({
  code,
  lines: ['No'],
  ...(enhanced !== undefined && { enhanced }),
})

describe('a backend', () => {
  test('is asked in the order in which a client comes to it, and its words are said', async () => {
    const asked: string[] = []
    const running = await start({
      connection: ({ identity }) => void asked.push(`connection ${identity.client.address.toString()}`),
      reversePath: ({ envelope }) => void asked.push(`reversePath ${envelope.reversePath}`),
      recipient: (forwardPath, { hello }) => void asked.push(`recipient ${forwardPath} ${hello?.domain}`),
      data: async (message, { envelope }) => {
        asked.push(`data ${envelope.forwardPaths.join()} ${(await text(message)).split('\r\n').at(-2)}`)
        return { code: 250, enhanced: '2.6.0', lines: ['Kept as 42'] }
      },
    })
    const client = await inData(running)
    expect(await client.ask('Subject: hello\r\n\r\n..dot\r\n.')).toBe('250 2.6.0 Kept as 42\r\n')
    expect(await client.ask('QUIT')).toMatch(/^221 /)
    expect(asked).toEqual([
      'connection 127.0.0.1',
      'reversePath bob@example.net',
      'recipient ann@example.org client.example',
      'data ann@example.org .dot',
    ])
  })

  test('may refuse a client instead of the greeting, with the name of the server', async () => {
    const { connect } = await start({ connection: async () => no(554, '5.7.1') })
    expect(await connect().rest()).toBe('554 5.7.1 mx.example No\r\n')
  })

  test.each([
    ['MAIL for ever', { reversePath: () => no(550, '5.1.8') }, 'MAIL FROM:<bob@example.net>', '550 5.1.8 No\r\n'],
    ['MAIL for now', { reversePath: async () => no(451, '4.7.1') }, 'MAIL FROM:<bob@example.net>', '451 4.7.1 No\r\n'],
    ['MAIL without a status', { reversePath: () => no(550) }, 'MAIL FROM:<bob@example.net>', '550 5.7.1 No\r\n'],
    ['MAIL with another', { reversePath: () => no(550, '4.1.8') }, 'MAIL FROM:<bob@example.net>', '550 5.7.1 No\r\n'],
    ['nobody', { reversePath: () => no(250) }, 'MAIL FROM:<bob@example.net>', '250 2.1.0 OK\r\n'],
  ] satisfies [string, Partial<SmtpBackend>, string, string][])('may refuse %s', async (_, backend, line, reply) => {
    const client = await greeted(await start(backend))
    expect(await client.ask(line)).toBe(reply)
  })

  test('may refuse one recipient of two, and the message', async () => {
    const running = await start({
      recipient: (forwardPath) => (forwardPath.startsWith('bob') ? no(550, '5.1.1') : undefined),
      data: async (message) => {
        await buffer(message)
        return no(554, '5.7.1')
      },
    })
    const client = await greeted(running)
    await client.ask('MAIL FROM:<>')
    expect(await client.ask('RCPT TO:<bob@example.org>')).toBe('550 5.1.1 No\r\n')
    expect(await client.ask('RCPT TO:<ann@example.org>')).toBe('250 2.1.5 OK\r\n')
    expect(await client.ask('DATA')).toMatch(/^354 /)
    expect(await client.ask('.')).toBe('554 5.7.1 No\r\n')
    expect(await client.ask('NOOP')).toMatch(/^250 /)
  })

  test('signs in', async () => {
    const running = await start(
      {
        authentication: async ({ username, password }) =>
          password.reveal() === 'secret' ? { account: `${username}@example.org`, username } : undefined,
        reversePath: ({ principal }) => (principal?.account === 'ann@example.org' ? undefined : no(530, '5.7.0')),
      },
      { authRequiresTls: false },
    )
    const client = await greeted(running)
    expect(await client.ask(`AUTH PLAIN ${Buffer.from('\0ann\0wrong').toString('base64')}`)).toMatch(/^535 5\.7\.8 /)
    expect(await client.ask('MAIL FROM:<ann@example.org>')).toBe('530 5.7.0 No\r\n')
    expect(await client.ask(`AUTH PLAIN ${Buffer.from('\0ann\0secret').toString('base64')}`)).toMatch(/^235 2\.7\.0 /)
    expect(await client.ask('MAIL FROM:<ann@example.org>')).toMatch(/^250 /)
  })
})

function broken(): never {
  throw new Error('a bug')
}

describe('a backend that throws', () => {
  test.each([
    ['connection', [], /^421 4\.3\.0 mx\.example Internal error\r\n$/],
    ['reversePath', ['EHLO a', 'MAIL FROM:<>'], /^451 4\.3\.2 /],
    ['recipient', ['EHLO a', 'MAIL FROM:<>', 'RCPT TO:<a@example.org>'], /^451 4\.3\.0 /],
    ['data', ['EHLO a', 'MAIL FROM:<>', 'RCPT TO:<a@example.org>', 'DATA', '.'], /^451 4\.3\.0 /],
    ['authentication', ['EHLO a', 'AUTH PLAIN AGEAYg=='], /^454 4\.7\.0 /],
  ] as const)('in %s: the client may come again, and the program is told', async (method, lines, last) => {
    const { connect, faults } = await start({ [method]: broken }, { authRequiresTls: false })
    const client = connect()
    let reply = await client.reply()
    for (const line of lines) reply = await client.ask(line)
    expect(reply).toMatch(last)
    expect(faults).toEqual([new Error('a bug')])
  })
})

describe('a message', () => {
  test('comes as fast as it is read, and no faster', async () => {
    const reading = Promise.withResolvers<Readable>()
    const running = await start(
      {
        data: async (message) => {
          reading.resolve(message)
          await once(message, 'end')
        },
      },
      { limits: { maxMessageBytes: 100_000_000 } },
    )
    const client = await inData(running)
    const line = `${'x'.repeat(998)}\r\n`
    const message = await reading.promise
    // Far more than sockets hold: if the server read on, all of it would be written.
    client.say(`\r\n${line.repeat(64_000)}`)
    while (message.readableLength < 65_536) await nextTurn()
    for (let turn = 0; turn < 100; turn++) await nextTurn()
    expect(message.readableLength).toBeLessThan(4 * 65_536)
    expect(client.hasStalled).toBe(true)
    message.resume()
    expect(await client.ask('.')).toMatch(/^250 /)
  })

  test('whose client is lost ends with an error, and no verdict is asked for', async () => {
    const reading = Promise.withResolvers<Readable>()
    const running = await start({
      data: async (message) => {
        reading.resolve(message)
        await buffer(message)
      },
    })
    const client = await inData(running)
    client.say('half\r\n')
    const message = await reading.promise
    const failed = once(message, 'error')
    client[Symbol.dispose]()
    expect(await failed).toEqual([new Error('the message was given up: its client is gone, or it was refused')])
    expect(running.faults).toEqual([])
  })

  test('that is too big ends with an error', async () => {
    const ends: unknown[] = []
    const running = await start(
      {
        data: async (message) => {
          await buffer(message).catch((error: unknown) => ends.push(error))
        },
      },
      { limits: { maxMessageBytes: 100 } },
    )
    const client = await inData(running)
    expect(await client.ask(`${'x'.repeat(200)}\r\n.`)).toBe('552 5.3.4 Message too big\r\n')
    expect(ends).toHaveLength(1)
  })

  test('with a verdict before its end is read over, and answered at its end', async () => {
    const running = await start({ data: async () => no(554, '5.6.0') })
    const client = await inData(running)
    expect(await client.ask(`\r\n${`${'x'.repeat(200)}\r\n`.repeat(5_000)}.`)).toBe('554 5.6.0 No\r\n')
    expect(await client.ask('NOOP')).toMatch(/^250 /)
  })

  test('may be kept: what is read is never overwritten', async () => {
    const chunks: Buffer[] = []
    const running = await start({
      data: async (message) => {
        for await (const chunk of message) chunks.push(chunk as Buffer)
      },
    })
    const client = await inData(running)
    for (let index = 0; index < 50; index++) client.say(`${index}`.padEnd(998, 'x') + '\r\n')
    expect(await client.ask('.')).toMatch(/^250 /)
    const lines = Buffer.concat(chunks)
      .toString()
      .split('\r\n')
      .filter((line) => /^\d/.test(line))
    expect(lines.map((line) => Number.parseInt(line, 10))).toEqual(Array.from({ length: 50 }, (_, index) => index))
  })
})

function proxy(mode: TrustMode, ...networks: string[]): { readonly proxy: ReadProxyHeaderOptions } {
  const compiled = compileCidrSet(networks)
  if (!compiled.ok) throw new Error('no networks')
  return { proxy: { trust: createTrustRule({ mode, networks: compiled.set }), timeoutMs: 30_000 } }
}

describe('PROXY headers', () => {
  const header = 'PROXY TCP4 203.0.113.7 192.0.2.1 45678 25\r\n'

  test('J8: a trusted one is believed, and a command in one piece with it answered behind the greeting', async () => {
    const { connect } = await start({}, proxy('require', '127.0.0.0/8'))
    const client = connect().say(`${header}EHLO client.example\r\n`)
    expect(await client.reply()).toMatch(/^220 /)
    expect(await client.reply()).toContain('[203.0.113.7]')
  })

  test('J8: also when the greeting is late', async () => {
    const { connect } = await start({}, { ...proxy('require', '127.0.0.0/8'), greetingDelay: { delayMs: 20 } })
    const client = connect().say(`${header}EHLO client.example\r\n`)
    expect(await client.reply()).toMatch(/^220 /)
    expect(await client.reply()).toContain('[203.0.113.7]')
  })

  test.each([
    ['SC-14: who speaks before a late greeting', 'off', ['127.0.0.1'], 'EHLO a\r\n', '421 4.7.0 Wait for the greeting'],
    ['J10: no header', 'require', ['127.0.0.1'], 'EHLO a\r\n', '421 4.7.0 mx.example PROXY header required'],
    [
      'S12: a malformed one',
      'require',
      ['127.0.0.1'],
      'PROXY TCP4 x\r\n',
      '421 4.7.0 mx.example PROXY header malformed',
    ],
    [
      'W5: a stranger',
      'require',
      ['10.0.0.1'],
      '',
      '421 4.7.0 mx.example Connections are accepted from trusted proxies only',
    ],
    [
      'H1: a header of a stranger',
      'mixed',
      ['10.0.0.1'],
      header,
      '421 4.7.0 mx.example PROXY header from an untrusted network',
    ],
  ] as const)('%s is 421, and closed', async (_, mode, networks, said, reply) => {
    const { connect } = await start({}, { ...proxy(mode, ...networks), greetingDelay: { delayMs: 60_000 } })
    expect(await connect().say(said).rest()).toBe(`${reply}\r\n`)
  })

  test('S18: silence is 421, and closed', async () => {
    const { proxy: required } = proxy('require', '127.0.0.1')
    const { connect } = await start({}, { proxy: { ...required, timeoutMs: 100 } })
    expect(await connect().rest()).toBe('421 4.7.0 mx.example PROXY timed out\r\n')
  })
})

describe('TLS', () => {
  test('STARTTLS, and whatever was said before is forgotten', async () => {
    const running = await start({}, { tls: { ...tlsFiles } })
    const client = await greeted(running)
    expect(await client.ask('EHLO a')).toContain('250-STARTTLS\r\n')
    expect(await client.ask('STARTTLS')).toMatch(/^220 /)
    await client.startTls('localhost')
    expect(await client.ask('MAIL FROM:<>')).toMatch(/^503 /)
    expect(await client.ask('EHLO a')).not.toContain('STARTTLS')
    for (const line of ['MAIL FROM:<>', 'RCPT TO:<a@example.org>', 'DATA']) await client.ask(line)
    expect(await client.ask('.')).toMatch(/^250 /)
    expect(running.messages[0]).toMatch(/ with ESMTPS \(TLSv1\.3 /)
  })

  test('from the first byte, with nodemailer', async () => {
    const running = await start(
      { authentication: ({ username }) => ({ account: username, username }) },
      { tls: { ...tlsFiles, mode: 'implicit' } },
    )
    const transport = createTransport({
      host: '127.0.0.1',
      port: running.port,
      secure: true,
      tls: { rejectUnauthorized: false },
      auth: { user: 'ann', pass: 'secret' },
    })
    await transport.sendMail({ from: 'ann@example.org', to: 'bob@example.org', subject: 'hello', text: 'world\n.\n' })
    expect(running.messages[0]).toMatch(/ with ESMTPSA [^]*Subject: hello\r\n[^]*\r\n\r\nworld\r\n\.\r\n/)
  })

  test('what is no handshake closes that connection, and the others go on', async () => {
    const running = await start({}, { tls: { ...tlsFiles, mode: 'implicit' } })
    expect(await running.connect().say('EHLO a\r\n').rest()).not.toContain('250')
    expect(running.faults).toHaveLength(1)
  })
})

describe('the server', () => {
  test('says goodbye when it is closed: at once to the idle, and to the others when they are done', async () => {
    const gate = Promise.withResolvers<void>()
    const running = await start({
      data: async (message) => {
        await buffer(message)
        await gate.promise
      },
    })
    const idle = await greeted(running)
    const busy = await inData(running)
    const last = busy.ask('.')
    const closed = running.server.close()
    expect(await idle.rest()).toBe('421 4.3.2 mx.example Shutting down, try again later\r\n')
    gate.resolve()
    expect(await last).toMatch(/^250 /)
    expect(await busy.rest()).toMatch(/^421 4\.3\.2 /)
    await closed
    expect(running.server.connections).toBe(0)
  })

  test('takes leave of whoever is not done in time', async () => {
    const running = await start()
    const busy = await inData(running)
    const closed = running.server.close(10)
    expect(await busy.rest()).toMatch(/^421 4\.3\.0 /)
    await closed
  })

  test('C10: listens again on the same port', async () => {
    const running = await start()
    await running.server.close()
    await running.server.listen(running.port, '127.0.0.1')
    expect(await running.connect().reply()).toMatch(/^220 /)
  })

  test('over the number of connections it says 421, and serves again when one has left', async () => {
    const running = await start({}, { maxConnections: 1 })
    const first = await greeted(running)
    expect(await running.connect().rest()).toBe('421 4.3.2 mx.example Too many connections, try again later\r\n')
    await first.ask('QUIT')
    await first.rest()
    while (running.server.connections > 0) await nextTurn()
    await greeted(running)
  })

  test('a certificate that cannot be used is told at once', () => {
    expect(() =>
      createSmtpServer({ hostname: 'mx.example', backend: { data: () => {} }, tls: { cert: 'x', key: 'y' } }),
    ).toThrow(/PEM/i)
  })
})

const hearsOnlyTheEnd: SmtpBackend['data'] = (message) =>
  new Promise((resolve) => {
    message.resume().on('end', () => resolve())
  })

test('a backend that hears of no end but the good one does not hold its connection for ever', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  onTestFinished(() => void vi.useRealTimers())
  const faults: unknown[] = []
  const delivery = await destinationOf({ data: hearsOnlyTheEnd }, (error) => faults.push(error)).begin(transactionOf())
  await delivery.write(Buffer.from('Subject: half'))
  const given = Promise.resolve(delivery.abort())
  await vi.advanceTimersByTimeAsync(serverLimits.abandonPatienceMs)
  await given
  expect(faults).toEqual([expect.objectContaining({ message: expect.stringContaining('data() goes on') as string })])
})
