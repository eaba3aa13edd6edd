import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { describe, expect, onTestFinished, test } from 'vitest'
import { secret } from '@postern/core'
import type { DeliveryReply, TransactionStart, UpstreamCredentials } from '@postern/smtp'
import type { UpstreamConfig } from '../../src/config/schema.ts'
import { relayDestination } from '../../src/destination/relay.ts'
import { UpstreamLog } from '../../src/observe/upstream-log.ts'
import { BackendGroup } from '../../src/upstream/backend-group.ts'
import { Upstream } from '../../src/upstream/upstream.ts'
import { recordingLogger } from '../kit/acceptor-bench.ts'
import { connectionFrom } from '../route/routing.ts'

/** What a backend says: to the connection, to each command by its first word, and to the end of the data. */
interface Says {
  readonly connection?: string
  readonly EHLO?: string
  readonly RCPT?: string
  readonly end?: string
}

interface Served {
  readonly port: number
  readonly heard: string[]
}

async function backend(says: Says = {}): Promise<Served> {
  const heard: string[] = []
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    let data: string | undefined
    const reply = (text: string): void => {
      if (text === '!') socket.destroy()
      else socket.write(`${text}\r\n`)
    }
    socket.on('error', () => {})
    reply(says.connection ?? '220 hello')
    socket.on('data', (bytes) => {
      const text = bytes.toString('latin1')
      heard.push(text)
      if (data !== undefined) {
        data += text
        if (!data.endsWith('\r\n.\r\n')) return
        data = undefined
        reply(says.end ?? '250 taken')
        return
      }
      for (const line of text.split('\r\n').slice(0, -1)) {
        if (line.startsWith('EHLO')) reply(says.EHLO ?? '250-backend\r\n250 PIPELINING')
        else if (line.startsWith('RCPT')) reply(says.RCPT ?? '250 ok')
        else if (line === 'DATA') {
          data = ''
          reply('354 go')
        } else if (line === 'QUIT') socket.end('221 bye\r\n')
        else if (!line.startsWith('PROXY')) reply('250 ok')
      }
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  return { port: (server.address() as AddressInfo).port, heard }
}

interface Bench {
  readonly upstream: Upstream
  readonly lines: ReturnType<typeof recordingLogger>['lines']
  readonly send: (
    recipient?: string,
    more?: { readonly server?: string; readonly user?: string; readonly credentials?: UpstreamCredentials },
  ) => Promise<DeliveryReply>
}

let serial = 0

function bench(ports: readonly number[], more: Partial<UpstreamConfig> = {}): Bench {
  const { logger, lines } = recordingLogger()
  const log = new UpstreamLog(logger)
  const config: UpstreamConfig = {
    name: 'inside',
    protocol: 'smtp',
    backends: ports.map((port) => ({ address: { host: '127.0.0.1', port }, weight: 1, isBackup: false })),
    balance: 'round-robin',
    announce: 'received',
    isAnnouncementOptional: false,
    maxHeaderBytes: 536,
    passedTlvs: [],
    hasHeaderChecksum: false,
    tls: { mode: 'off' },
    maxConnections: 'unlimited',
    sendsCredentialsInClear: false,
    slowStartMs: 0,
    timeouts: 'near',
    health: { isChecked: true, intervalMs: 5000, timeoutMs: 1000, rise: 2, fall: 1 },
    ...more,
  }
  const group = new BackendGroup(config, {
    onSuspicion: () => {},
    onAvoided: (name, forMs, detail) => log.avoided('inside', name, forMs, detail),
  })
  const upstream = new Upstream(config, group)
  return {
    upstream,
    lines,
    send: async (recipient = 'ann@example.org', { server, user, credentials } = {}) => {
      const destination = relayDestination({
        upstream,
        server,
        hostname: 'gate.example',
        log,
        ...(credentials === undefined ? {} : { credentialsOf: () => credentials }),
      })
      const forwardPaths: string[] = []
      const start: TransactionStart = {
        id: `test-${++serial}`,
        envelope: { reversePath: 'bob@example.net', forwardPaths, isSmtpUtf8: false, body: '7BIT' },
        connection: connectionFrom(),
        takesVerdictForEach: false,
        at: new Date(),
        ...(user === undefined ? {} : { principal: { account: user, username: user } }),
      }
      const delivery = await destination.begin(start)
      const accepted = await delivery.addRecipient(recipient, { to: 'upstream', upstream: 'inside' })
      if (accepted.code >= 300) {
        await delivery.abort()
        return accepted
      }
      forwardPaths.push(recipient)
      await delivery.write(Buffer.from('Subject: hello\r\n\r\n'))
      await delivery.write(Buffer.from('world\r\n'))
      return delivery.commit()
    },
  }
}

describe('a relay', () => {
  test('takes turns, and counts connections until they are over', async () => {
    const [one, other] = [await backend(), await backend()]
    const { send, upstream } = bench([one.port, other.port])
    for (let count = 0; count < 4; count++) expect(await send()).toMatchObject({ code: 250 })
    expect([one, other].map(({ heard }) => heard.join('').split('EHLO').length - 1)).toEqual([2, 2])
    await expect.poll(() => upstream.group.all.map(({ connections }) => connections)).toEqual([0, 0])
  })

  test('keeps a connection for the next message, which counts as none meanwhile', async () => {
    const one = await backend()
    const { send, upstream } = bench([one.port], { maxConnections: 1, idle: { maxConnections: 8, timeMs: 60_000 } })
    onTestFinished(() => upstream.idle?.close())
    for (let count = 1; count <= 3; count++) {
      expect(await send()).toMatchObject({ code: 250 })
      await expect.poll(() => [upstream.idle?.size, upstream.group.all[0]?.connections]).toEqual([1, 0])
    }
    expect(one.heard.join('').split('EHLO').length - 1).toBe(1)
  })

  test('a user who signs in at the backend shares no connection, and the ceiling holds', async () => {
    const one = await backend({ EHLO: '250-backend\r\n250-AUTH PLAIN\r\n250 PIPELINING' })
    const { send, upstream } = bench([one.port], {
      maxConnections: 1,
      sendsCredentialsInClear: true,
      idle: { maxConnections: 8, timeMs: 60_000 },
    })
    onTestFinished(() => upstream.idle?.close())
    await send()
    await expect.poll(() => upstream.idle?.size).toBe(1)
    await send('ann@example.org', { credentials: { username: 'ann', password: secret('secret') } })
    expect(upstream.idle?.size).toBe(0)
    expect(one.heard.join('').split('EHLO').length - 1).toBe(2)
  })

  test('lets go of connections to a backend that is down', async () => {
    const one = await backend()
    const { send, upstream } = bench([one.port], { idle: { maxConnections: 8, timeMs: 60_000 } })
    await send()
    await expect.poll(() => upstream.idle?.size).toBe(1)
    upstream.idle?.leave(`127.0.0.1:${one.port}`)
    expect(upstream.idle?.size).toBe(0)
    await expect.poll(() => one.heard.at(-1)).toBe('QUIT\r\n')
  })

  test('`hash-user` goes by the user, or else by the first recipient, whatever their spelling', async () => {
    const backends = await Promise.all(Array.from({ length: 4 }, () => backend()))
    const { send } = bench(
      backends.map(({ port }) => port),
      { balance: 'hash-user' },
    )
    const greetings = (): readonly number[] => backends.map(({ heard }) => heard.join('').split('EHLO').length)
    const served = async (recipient: string, user?: string): Promise<number> => {
      const before = greetings()
      await send(recipient, user === undefined ? {} : { user })
      return greetings().findIndex((count, index) => count > (before[index] ?? 0))
    }
    const places = new Set<number>()
    for (const name of ['ann', 'bob', 'eve', 'joe', 'pat', 'kim', 'lee', 'max']) {
      const place = await served(`${name}@example.org`)
      expect(await served(`${name.toUpperCase()}@Example.ORG`)).toBe(place)
      expect(await served('somebody@example.net', `${name}@example.org`)).toBe(place)
      places.add(place)
    }
    expect(places.size).toBeGreaterThan(1)
  })

  test('one address of a directory is reached with the settings of the upstream, and no other is', async () => {
    const [one, other] = [await backend(), await backend()]
    const { send } = bench([one.port])
    expect(await send('ann@example.org', { server: `127.0.0.1:${other.port}` })).toMatchObject({ code: 250 })
    expect([one.heard.length > 0, other.heard.length > 0]).toEqual([false, true])
  })

  test('a message in doubt is told with the hash of what was handed over', async () => {
    const { port } = await backend({ end: '!' })
    const { send, lines } = bench([port])
    expect(await send()).toMatchObject({ code: 451, enhanced: '4.4.2' })
    const sha256 = createHash('sha256').update('Subject: hello\r\n\r\nworld\r\n').digest('hex')
    expect(lines.find(({ event }) => event === 'relay.in-doubt')).toMatchObject({
      upstream: 'inside',
      backend: `127.0.0.1:${port}`,
      transaction: `test-${serial}`,
      sha256,
      bytes: 25,
      recipients: 1,
    })
  })

  test('when nobody is left it says why, to the operator alone', async () => {
    const { send, upstream } = bench([1])
    upstream.group.receive({
      upstream: 'inside',
      backend: '127.0.0.1:1',
      isUp: false,
      forMs: 0,
      hasReturned: false,
      reason: 'ECONNREFUSED',
    })
    const reply = await send()
    expect(reply).toMatchObject({ code: 451, enhanced: '4.4.1' })
    expect(reply.detail).toContain('127.0.0.1:1 is down: ECONNREFUSED')
    expect(reply.lines.join('')).not.toContain('127.0.0.1')
  })
})

describe('what counts against a backend', () => {
  test.each([
    ['it cannot be reached', undefined, {}, 1],
    ['it hangs up', { connection: '!' }, {}, 1],
    ['it says 421', { connection: '421 later' }, {}, 1],
    ['it speaks nonsense', { connection: '* OK' }, {}, 1],
    ['it refuses a recipient', { RCPT: '550 nobody' }, {}, 0],
    ['it hangs up at a recipient', { RCPT: '!' }, {}, 0],
    ['it says 421 to a recipient', { RCPT: '421 too many from you' }, {}, 0],
    ['it says 421 to a client that was announced', { connection: '421 not you' }, { announce: 'proxy-v1' }, 0],
    ['it hangs up on a client that was announced', { connection: '!' }, { announce: 'proxy-v2' }, 0],
    ['it speaks nonsense to a client that was announced', { connection: '* OK' }, { announce: 'proxy-v1' }, 1],
  ] as const)('%s: %#', async (_, says, more, failures) => {
    const port = says === undefined ? 1 : (await backend(says)).port
    const { send, upstream } = bench([port], more)
    expect((await send()).code).toBeGreaterThan(400)
    expect(upstream.group.all[0]?.failures).toBe(failures)
  })

  test('what is offered to a client that was announced is not taken for what is offered to all', async () => {
    const { port } = await backend({ EHLO: '250-backend\r\n250-PIPELINING\r\n250 DSN' })
    const announced = bench([port], { announce: 'proxy-v1' })
    await announced.send()
    expect(announced.upstream.group.offers).toEqual([])
    const plain = bench([port])
    await plain.send()
    expect(plain.upstream.group.offers).toEqual([['PIPELINING', 'DSN']])
  })
})
