import { EventEmitter, once } from 'node:events'
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import { connect, createServer, Socket, type Server } from 'node:net'
import { connect as connectTls, createServer as createTlsServer } from 'node:tls'
import { SMTPServer } from 'smtp-server'
import { afterEach, describe, expect, test } from 'vitest'
import {
  compileCidrSet,
  createTrustRule,
  formatEndpoint,
  identityOf,
  proxied,
  type ClientIdentity,
  type ProxiedObserver,
  type ProxiedOptions,
  type TrustMode,
  type TrustRule,
} from '@postern/core'
import { text, v2 } from '../kit/header-bytes.ts'
import { close, exchange, listen, readAll } from '../kit/loopback.ts'
import { tlsFiles } from '../kit/tls.ts'

const header = v2({})
const client = '192.0.2.1:56324'

function trust(mode: TrustMode, ...networks: readonly string[]): TrustRule {
  const compiled = compileCidrSet(networks)
  if (!compiled.ok) throw new Error('networks')
  return createTrustRule({ mode, networks: compiled.set })
}

const required: ProxiedOptions = { trust: trust('require', '127.0.0.0/8') }

/** Writes down one line for each event. */
function recorder(): { readonly events: string[]; readonly observer: ProxiedObserver } {
  const events: string[] = []
  return {
    events,
    observer: {
      accepted: ({ identity }) => events.push(`accepted ${identity.origin} ${formatEndpoint(identity.client)}`),
      refused: ({ code, peer }) => events.push(`refused ${code} ${peer?.address.toString() ?? 'nobody'}`),
    },
  }
}

const opened: Server[] = []
afterEach(async () => {
  for (const server of opened.splice(0)) await close(server)
})

async function started(server: Server): Promise<number> {
  opened.push(server)
  return listen(server)
}

/** Says whom it sees, then gives back what it got. */
function echo(): Server {
  return createServer({ allowHalfOpen: true }, (socket) => {
    socket.write(`${socket.remoteFamily} ${socket.remoteAddress} ${socket.remotePort}\n`)
    socket.pipe(socket)
  })
}

function answer(request: IncomingMessage, response: ServerResponse): void {
  const { socket } = request
  response.end(`${socket.remoteAddress}:${socket.remotePort} ${identityOf(socket)?.origin}`)
}

describe('C6: any server', () => {
  test('net: sees the client, and the bytes behind the header', async () => {
    const port = await started(proxied(echo(), required))
    expect(await exchange(port, Buffer.concat([header, text('hello')]))).toBe('IPv4 192.0.2.1 56324\nhello')
  })

  test('net: an IPv6 client behind an IPv4 balancer', async () => {
    const port = await started(proxied(echo(), required))
    expect(await exchange(port, text('PROXY TCP6 2001:db8::1 2001:db8::2 1 2\r\n'))).toBe('IPv6 2001:db8::1 1\n')
  })

  test('net: a listener that was added later, and listens for data later still', async () => {
    const server = proxied(createServer({ allowHalfOpen: true }), required)
    server.on('connection', (socket: Socket) => {
      setImmediate(() => socket.on('data', (chunk: Buffer) => socket.end(chunk)))
    })
    const port = await started(server)
    expect(await exchange(port, Buffer.concat([header, text('hello')]))).toBe('hello')
  })

  test('net: a listener that listens for something else first', async () => {
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      socket.on('timeout', () => undefined)
      socket.once('readable', () => socket.end(String(socket.read())))
    })
    const port = await started(proxied(server, required))
    expect(await exchange(port, Buffer.concat([header, text('hello')]))).toBe('hello')
  })

  test('net: a listener that pauses is left paused', async () => {
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      socket.on('data', (chunk: Buffer) => socket.end(chunk))
      socket.pause()
      setImmediate(() => {
        socket.write(`${socket.isPaused()} `)
        socket.resume()
      })
    })
    const port = await started(proxied(server, required))
    expect(await exchange(port, Buffer.concat([header, text('hello')]))).toBe('true hello')
  })

  test('R-G-11: http: requests in the same segment as the header, and later ones', async () => {
    const port = await started(proxied(createHttpServer(answer), required))
    const request = 'GET / HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n\r\n'
    const socket = connect(port, '127.0.0.1')
    const received = readAll(socket)
    socket.write(Buffer.concat([header, text(request)]))
    await once(socket, 'data')
    socket.end(text(request.replace('keep-alive', 'close')))
    expect((await received).match(/192\.0\.2\.1:56324 proxied/g)).toHaveLength(2)
  })

  test('J3, J4, S21, R-G-13: https: the header, then TLS, and the request sees the client', async () => {
    const port = await started(proxied(createHttpsServer(tlsFiles, answer), required))
    const socket = connect(port, '127.0.0.1')
    socket.write(header)
    const secured = connectTls({ socket, ca: tlsFiles.cert, servername: 'localhost' })
    secured.end(text('GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'))
    expect(await readAll(secured)).toContain(`${client} proxied`)
  })

  test('PX-08: tls: header and ClientHello in one segment', async () => {
    const server = createTlsServer(tlsFiles, (socket) => socket.end(`${socket.remoteAddress} ${socket.remotePort}`))
    const port = await started(proxied(server, required))
    const socket = connect(port, '127.0.0.1')
    // Corked: what TLS writes first goes out with the header.
    socket.cork()
    socket.write(header)
    const secured = connectTls({ socket, ca: tlsFiles.cert, servername: 'localhost' })
    setImmediate(() => socket.uncork())
    expect(await readAll(secured)).toBe('192.0.2.1 56324')
  })

  test('smtp-server: its session is the client’s', async () => {
    const smtp = new SMTPServer({
      disabledCommands: ['STARTTLS', 'AUTH'],
      disableReverseLookup: true,
      onMailFrom: (_address, session, callback) => callback(new Error(`seen ${session.remoteAddress}`)),
    })
    const port = await started(proxied(smtp.server, required))
    const socket = connect(port, '127.0.0.1')
    const received = readAll(socket)
    socket.write(header)
    for (const command of ['EHLO x', 'MAIL FROM:<a@example.org>', 'QUIT']) {
      await once(socket, 'data')
      socket.write(`${command}\r\n`)
    }
    expect(await received).toContain('seen 192.0.2.1')
  })

  test('any emitter of connections', async () => {
    const emitter = proxied(new EventEmitter(), required)
    emitter.on('connection', (socket: Socket) => socket.end(`${socket.remoteAddress}`))
    const port = await started(createServer((socket) => emitter.emit('connection', socket)))
    expect(await exchange(port, header)).toBe('192.0.2.1')
  })

  test('events that are no connections pass unchanged', () => {
    const emitter = proxied(new EventEmitter(), required)
    const seen: unknown[] = []
    emitter.on('other', (...args: unknown[]) => seen.push(...args))
    expect(emitter.emit('other', 1, 2)).toBe(true)
    expect(emitter.emit('nobody listens')).toBe(false)
    expect(seen).toEqual([1, 2])
  })

  test('a TLS socket over a connection that did not come through the front has no identity', async () => {
    const emitter = proxied(new EventEmitter(), required)
    let identity: ClientIdentity | undefined
    emitter.on('secureConnection', (socket: Socket) => (identity = identityOf(socket)))
    const port = await started(
      createServer((socket) => {
        emitter.emit('secureConnection', socket)
        socket.resume().end('done')
      }),
    )
    expect(await exchange(port, header)).toBe('done')
    expect(identity).toBeUndefined()
  })
})

/** An echo server behind the front, and what the front tells. */
async function serve(options: ProxiedOptions): Promise<readonly [port: number, events: string[]]> {
  const { events, observer } = recorder()
  return [await started(proxied(echo(), { ...options, observer })), events]
}

test('a connection that has the numbers of an older one keeps its identity when the older one is closed', async () => {
  const emitter = proxied(new EventEmitter(), { trust: trust('off') })
  const numbers = { remoteAddress: '192.0.2.9', remotePort: 9, localAddress: '198.51.100.2', localPort: 25 }
  const properties = Object.fromEntries(
    Object.entries(numbers).map(([name, value]) => [name, { value, configurable: true }]),
  )
  const socket = (): Socket => Object.defineProperties(new Socket(), properties)
  const [older, newer, secured] = [socket(), socket(), socket()]
  emitter.on('connection', () => undefined)
  emitter.emit('connection', older)
  await expect.poll(() => identityOf(older)).toBeDefined()
  emitter.emit('connection', newer)
  await expect.poll(() => identityOf(newer)).toBeDefined()
  older.destroy()
  await once(older, 'close')
  emitter.emit('secureConnection', secured)
  expect(identityOf(secured)).toBe(identityOf(newer))
  expect(identityOf(secured)).toBeDefined()
})

describe('each connection is told once', () => {
  test.each<[name: string, bytes: Buffer, options: ProxiedOptions, event: RegExp]>([
    ['a client', header, required, /^accepted proxied 192\.0\.2\.1:56324$/],
    ['J15: a health check', v2({ versionAndCommand: 0x20 }), required, /^accepted proxy-itself 127\.0\.0\.1:\d+$/],
    [
      'a direct client where none must send a header',
      text('x'),
      { trust: trust('off') },
      /^accepted direct 127\.0\.0\.1:\d+$/,
    ],
    [
      'W4: a header from a stranger is not parsed',
      header,
      { trust: trust('mixed', '10.0.0.0/8') },
      /^accepted direct 127\.0\.0\.1:\d+$/,
    ],
    [
      'none where one may come',
      text('EHLO x'),
      { trust: trust('optional', '127.0.0.1') },
      /^accepted direct 127\.0\.0\.1:\d+$/,
    ],
    [
      'PX-01: a stranger where nobody else is served',
      header,
      { trust: trust('require', '10.0.0.0/8') },
      /^refused PROXY_UNTRUSTED 127\.0\.0\.1$/,
    ],
    ['PX-02, J10: no header where one must come', text('EHLO x\r\n'), required, /^refused PROXY_MISSING 127\.0\.0\.1$/],
    ['PX-21: a bad header', text('PROXY TCP5 x'), required, /^refused PROXY_FAMILY 127\.0\.0\.1$/],
    ['PX-31: half a header', header.subarray(0, 20), required, /^refused PROXY_CLOSED 127\.0\.0\.1$/],
    [
      'S20: two headers',
      Buffer.concat([header, header]),
      { ...required, refusesSecondHeader: true },
      /^refused PROXY_SECOND_HEADER 127\.0\.0\.1$/,
    ],
  ])('%s', async (_name, bytes, options, event) => {
    const [port, events] = await serve(options)
    const received = await exchange(port, bytes)
    expect(events).toEqual([expect.stringMatching(event)])
    expect(received === '').toBe(events[0]?.startsWith('refused'))
  })

  test('PX-03: silence', async () => {
    const [port, events] = await serve({ ...required, timeoutMs: 20 })
    const socket = connect(port, '127.0.0.1')
    expect(await readAll(socket)).toBe('')
    expect(events).toEqual(['refused PROXY_TIMEOUT 127.0.0.1'])
  })

  test('PX-37: no more than the bound wait for their header', async () => {
    const [port, events] = await serve({ ...required, maxPendingHeaders: 1 })
    const waiting = connect(port, '127.0.0.1')
    const answered = readAll(waiting)
    await once(waiting, 'connect')
    expect(await exchange(port, header)).toBe('')
    waiting.end(header)
    expect(await answered).toContain('192.0.2.1')
    expect(await exchange(port, header)).toContain('192.0.2.1')
    expect(events).toEqual([
      'refused PROXY_OVERLOAD 127.0.0.1',
      `accepted proxied ${client}`,
      `accepted proxied ${client}`,
    ])
  })

  test('PX-32: a peer that was gone before it could be asked for, also while the bound is reached', async () => {
    const { events, observer } = recorder()
    const emitter = proxied(new EventEmitter(), { ...required, maxPendingHeaders: 0, observer })
    const other = proxied(new EventEmitter(), { ...required, observer })
    const port = await started(
      createServer((socket) => {
        socket.destroy()
        const gone = connect(port, '127.0.0.1').destroy()
        emitter.emit('connection', gone)
        other.emit('connection', gone)
      }),
    )
    expect(await exchange(port, header)).toBe('')
    expect(events).toEqual(['refused PROXY_OVERLOAD nobody', 'refused PROXY_CLOSED nobody'])
  })

  test('PX-31: a reset in the middle of the header', async () => {
    const { events, observer } = recorder()
    const port = await started(proxied(echo(), { ...required, observer }))
    const waiting = connect(port, '127.0.0.1', () => {
      waiting.write(header.subarray(0, 20), () => setImmediate(() => waiting.resetAndDestroy()))
    })
    await once(waiting, 'close')
    await expect.poll(() => events).not.toEqual([])
    expect(events).toEqual(['refused PROXY_CLOSED 127.0.0.1'])
  })

  test('a front without an observer works as well', async () => {
    const port = await started(proxied(echo(), { ...required, maxPendingHeaders: 0 }))
    expect(await exchange(port, header)).toBe('')
    const refusing = await started(proxied(echo(), { trust: trust('require') }))
    expect(await exchange(refusing, header)).toBe('')
  })
})

test('the details for the operator name the peer and the cause', async () => {
  const details: string[] = []
  const observer: ProxiedObserver = { refused: ({ detail }) => details.push(detail) }
  const port = await started(proxied(echo(), { ...required, observer }))
  await exchange(port, text('EHLO x\r\n'))
  await exchange(port, text('PROXY TCP4 \x1b'))
  expect(details).toEqual([
    expect.stringMatching(/^127\.0\.0\.1:\d+: The peer must send .* \(it sent: EHLO x\\x0d\\x0a\)$/),
    expect.stringMatching(/^127\.0\.0\.1:\d+: .* \(at byte 11 of: PROXY TCP4 \\x1b\)$/),
  ])
})
