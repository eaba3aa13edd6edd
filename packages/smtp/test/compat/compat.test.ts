// X7: programs written for the npm package smtp-server, with one import changed. Each is run on both, where both can.
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { createTransport, type SendMailOptions } from 'nodemailer'
import { SMTPServer as OriginalServer } from 'smtp-server'
import { afterEach, describe, expect, test } from 'vitest'
import { SMTPServer, type CompatOptions, type CompatSession } from '../../src/compat/index.ts'
import { tlsFiles } from '../client/scripted-backend.ts'
import { Client } from '../server/client.ts'

const closing: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const close of closing.splice(0)) await close()
})

interface Listening {
  listen(port: number, host: string, callback: () => void): unknown
  close(callback: () => void): void
  on(event: 'error', listener: (error: Error) => void): unknown
  readonly server: { address(): unknown }
}

async function listen(server: Listening): Promise<number> {
  server.on('error', () => {})
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  closing.push(() => new Promise((resolve) => server.close(resolve)))
  return (server.server.address() as AddressInfo).port
}

const error = (message: string, responseCode?: number): Error => Object.assign(new Error(message), { responseCode })

/** The options that both take as they are. */
type SharedOptions = Pick<
  CompatOptions,
  | 'authOptional'
  | 'onConnect'
  | 'onAuth'
  | 'onMailFrom'
  | 'onRcptTo'
  | 'onData'
  | 'allowInsecureAuth'
  | 'secure'
  | 'lmtp'
>

/** Ours, and the original. */
const servers = [
  ['postern', (options: SharedOptions): Listening => new SMTPServer({ ...options, ...tlsFiles, closeTimeout: 500 })],
  [
    'smtp-server',
    (options: SharedOptions): Listening =>
      new OriginalServer({
        ...(options as object),
        ...tlsFiles,
        closeTimeout: 500,
        disableReverseLookup: true,
      }),
  ],
] as const

const mail: SendMailOptions = {
  from: 'andris@example.net',
  to: ['ann@example.org', 'bob@example.org'],
  subject: 'hello',
  text: 'world\n.\n..',
}

async function send(
  port: number,
  options: object = {},
  message: SendMailOptions = mail,
): Promise<{ readonly response: string }> {
  const transport = createTransport({
    host: '127.0.0.1',
    port,
    name: 'client.example',
    tls: { rejectUnauthorized: false },
    ...options,
  })
  return transport.sendMail(message)
}

describe.each(servers)('%s', (_, make) => {
  test('tells of a client, a sender, recipients and the message, with STARTTLS', async () => {
    const told: unknown[] = []
    const port = await listen(
      make({
        authOptional: true,
        onConnect: (session, callback) => {
          told.push(session.remoteAddress)
          callback()
        },
        onMailFrom: (address, session, callback) => {
          told.push(address.address, session.secure)
          callback()
        },
        onRcptTo: (address, session, callback) => {
          const { hostNameAppearsAs, openingCommand, transmissionType } = session
          told.push(`${address.address} ${hostNameAppearsAs} ${openingCommand} ${transmissionType}`)
          callback()
        },
        onData: (stream, session, callback) => {
          let content = ''
          stream.on('data', (chunk: Buffer) => (content += chunk.toString()))
          stream.once('end', () => {
            told.push(content.split('\r\n\r\n')[1], session.envelope.rcptTo.map(({ address }) => address).join())
            callback(null, 'Accepted as 1234')
          })
        },
      }),
    )
    expect((await send(port)).response).toMatch(/^250 .*Accepted as 1234$/)
    expect(told).toEqual([
      '127.0.0.1',
      'andris@example.net',
      true,
      'ann@example.org client.example EHLO ESMTPS',
      'bob@example.org client.example EHLO ESMTPS',
      'world\r\n.\r\n..\r\n',
      'ann@example.org,bob@example.org',
    ])
  })

  test('signs in, and knows who', async () => {
    const users: unknown[] = []
    const port = await listen(
      make({
        secure: true,
        onAuth: ({ username, password }, _session, callback) =>
          username === 'ann' && password === 'secret' ? callback(null, { user: 42 }) : callback(error('Wrong')),
        onMailFrom: (_address, session, callback) => {
          users.push(session.user)
          callback()
        },
      }),
    )
    await send(port, { secure: true, auth: { user: 'ann', pass: 'secret' } })
    expect(users).toEqual([42])
    await expect(send(port, { secure: true, auth: { user: 'ann', pass: 'x' } })).rejects.toMatchObject({
      responseCode: 535,
    })
    await expect(send(port, { secure: true })).rejects.toMatchObject({ responseCode: 530 })
  })

  test.each([
    ['a client', { onConnect: (_s: unknown, done: (e: Error) => void) => done(error('Not you', 521)) }, 521],
    ['a client in no code', { onConnect: (_s: unknown, done: (e: Error) => void) => done(error('Not you')) }, 554],
    ['a sender', { onMailFrom: (_a: unknown, _s: unknown, done: (e: Error) => void) => done(error('Not you')) }, 550],
    [
      'a recipient',
      { onRcptTo: (_a: unknown, _s: unknown, done: (e: Error) => void) => done(error('Not here', 551)) },
      551,
    ],
    [
      'a message',
      {
        onData: (stream: NodeJS.ReadableStream, _s: unknown, done: (e: Error) => void) => {
          stream.resume()
          stream.once('end', () => done(error('No spam', 552)))
        },
      },
      552,
    ],
  ])('refuses %s with the code of the program', async (_what, callbacks, code) => {
    const port = await listen(make({ authOptional: true, ...callbacks }))
    await expect(send(port, {}, { ...mail, to: 'ann@example.org' })).rejects.toMatchObject({ responseCode: code })
  })
})

/** Takes every message, and keeps the session of each. */
const take = (sessions: CompatSession[]): CompatOptions => ({
  name: 'mx.example',
  authOptional: true,
  onMailFrom: (_address, session, callback) => {
    sessions.push({ ...session })
    callback()
  },
})

describe('beyond the original', () => {
  const header = 'PROXY TCP4 203.0.113.7 192.0.2.1 45678 25\r\n'

  test.each([
    ['S1: true', true],
    ['S3: a star', ['*']],
    ['S2: a network', ['127.0.0.0/8']],
  ])('useProxy, %s: the session is that of the real client (S4)', async (_, useProxy) => {
    const sessions: CompatSession[] = []
    const port = await listen(new SMTPServer({ ...take(sessions), useProxy }))
    using client = new Client(port)
    expect(await client.say(header).reply()).toBe('220 mx.example ESMTP ready\r\n')
    await client.ask('EHLO client.example')
    await client.ask('MAIL FROM:<a@example.net> SIZE=10 BODY=8BITMIME')
    expect(sessions).toMatchObject([
      {
        remoteAddress: '203.0.113.7',
        remotePort: 45_678,
        localAddress: '192.0.2.1',
        localPort: 25,
        clientHostname: '[203.0.113.7]',
        envelope: { mailFrom: { address: 'a@example.net', args: { SIZE: '10', BODY: '8BITMIME' } } },
      },
    ])
  })

  test('S2: whom useProxy does not list is a direct client', async () => {
    const port = await listen(new SMTPServer({ useProxy: ['10.0.0.0/8'] }))
    using client = new Client(port)
    expect(await client.reply()).toMatch(/^220 /)
  })

  test('useProxy with what is no network is told at once', () => {
    expect(() => new SMTPServer({ useProxy: ['balancer'] })).toThrow(/useProxy/)
  })

  test('the name that was confirmed is the session’s', async () => {
    const sessions: CompatSession[] = []
    const port = await listen(
      new SMTPServer({ ...take(sessions), clientNames: () => ({ verified: 'mail.sender.example' }) }),
    )
    using client = new Client(port)
    await client.reply()
    await client.ask('EHLO a')
    await client.ask('MAIL FROM:<>')
    expect(sessions).toMatchObject([{ clientHostname: 'mail.sender.example', envelope: { mailFrom: { args: false } } }])
  })

  test('LMTP: a list of answers is one reply for each recipient', async () => {
    const server = new SMTPServer({
      lmtp: true,
      authOptional: true,
      onData: (stream, _session, callback) => {
        stream.resume()
        stream.once('end', () => callback(null, ['kept', error('full', 452)]))
      },
    })
    using client = new Client(await listen(server))
    await client.reply()
    for (const line of ['LHLO a', 'MAIL FROM:<>', 'RCPT TO:<a@x.example>', 'RCPT TO:<b@x.example>', 'DATA'])
      await client.ask(line)
    expect(await client.ask('.')).toBe('250 2.0.0 kept\r\n')
    expect(await client.reply()).toBe('452 4.0.0 full\r\n')
  })

  test('events, and onClose when a session has ended', async () => {
    const closed: string[] = []
    const server = new SMTPServer({ onClose: ({ id }) => void closed.push(id) })
    const connected = once(server, 'connect')
    const port = await listen(server)
    using client = new Client(port)
    await client.reply()
    const [{ id }] = (await connected) as [CompatSession]
    const close = once(server, 'close')
    await client.ask('QUIT')
    await client.rest()
    await close
    expect(closed).toEqual([id])
    expect(server.connections).toBe(0)
  })

  test('a bad header ends no process, whether anybody listens for errors or not', async () => {
    const server = new SMTPServer({ useProxy: true })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    closing.push(() => new Promise((resolve) => server.close(resolve)))
    using client = new Client((server.server.address() as AddressInfo).port)
    expect(await client.say('PROXY nonsense\r\n').rest()).toMatch(/^421 4\.7\.0 /)
  })

  test('a port that is taken is an error event', async () => {
    const port = await listen(new SMTPServer())
    const other = new SMTPServer()
    const failed = once(other, 'error')
    other.listen(port, '127.0.0.1')
    expect(String(await failed)).toContain('EADDRINUSE')
  })

  test('a message over `size` is 552, and its stream ends with an error', async () => {
    const ends: string[] = []
    const begun = Promise.withResolvers<void>()
    const server = new SMTPServer({
      size: 100,
      authOptional: true,
      onData: (stream, _session, callback) => {
        begun.resolve()
        stream.on('error', () => ends.push('error')).resume()
        stream.once('close', () => callback())
      },
    })
    using client = new Client(await listen(server))
    await client.reply()
    for (const line of ['EHLO a', 'MAIL FROM:<>', 'RCPT TO:<a@x.example>', 'DATA']) await client.ask(line)
    client.say('\r\nfifty or so\r\n')
    await begun.promise
    expect(await client.ask(`${'x'.repeat(200)}\r\n.`)).toMatch(/^552 5\.3\.4 /)
    expect(ends).toEqual(['error'])
  })

  test('AU-06: nobody signs in for somebody else', async () => {
    const server = new SMTPServer({
      allowInsecureAuth: true,
      onAuth: (_auth, _session, callback) => callback(null, { user: 1 }),
    })
    using client = new Client(await listen(server))
    await client.reply()
    await client.ask('EHLO a')
    expect(await client.ask(`AUTH PLAIN ${Buffer.from('bob\0ann\0secret').toString('base64')}`)).toMatch(/^535 /)
    expect(await client.ask(`AUTH PLAIN ${Buffer.from('\0ann\0secret').toString('base64')}`)).toMatch(/^235 /)
  })

  test('AUTH and STARTTLS can be switched off', async () => {
    const server = new SMTPServer({
      ...tlsFiles,
      allowInsecureAuth: true,
      onAuth: (_auth, _session, callback) => callback(null, { user: 1 }),
      disabledCommands: ['AUTH', 'STARTTLS'],
    })
    using client = new Client(await listen(server))
    await client.reply()
    expect(await client.ask('EHLO a')).not.toMatch(/AUTH|STARTTLS/)
    expect(await client.ask('MAIL FROM:<>')).toMatch(/^250 /)
  })
})
