// Directories that say where mail goes: a service over HTTP as nginx asks it, and Redis. Whether they are there or not.
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import { connect } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { listener } from '../kit/configuration.ts'
import { temporaryFolder } from '../kit/folder.ts'
import { startGateway, type Gateway } from '../kit/gateway.ts'
import { eventually } from '../kit/patience.ts'
import { requirePeer } from '../kit/peers.ts'
import { freePort, freePorts } from '../kit/ports.ts'
import { start } from '../kit/run.ts'
import { startPostfix, type Postfix } from '../kit/postfix.ts'
import { proxyV2, swaks } from '../kit/swaks.ts'

let postfix: Postfix
beforeAll(async () => {
  postfix = await startPostfix({ domains: ['a.example', 'b.example', 'c.example', 'sub.b.example'] })
})
afterAll(async () => {
  await postfix?.stop()
})

async function startBefore(lookup: string, routes: string): Promise<Gateway & { readonly port: number }> {
  const ports = await freePorts('admin', 'smtp')
  const { plain, xclient } = postfix.ports
  const config = [
    '[proxy]\ntrusted-networks = ["127.0.0.1"]',
    listener('mx', { protocol: 'smtp', bind: ports.smtp, mode: 'require' }),
    `[upstream.inside]\nprotocol = "smtp"\nbackends = ["127.0.0.1:${xclient}"]\nannounce = "xclient"`,
    `[upstream.other]\nprotocol = "smtp"\nbackends = ["127.0.0.1:${plain}"]`,
    lookup,
    routes,
  ]
  const gateway = await startGateway({ config: config.join('\n\n'), adminPort: ports.admin, accounts: [] })
  return { ...gateway, port: ports.smtp }
}

describe('a service over HTTP, as nginx asks it', () => {
  let service: Server
  let servicePort: number
  let gateway: Awaited<ReturnType<typeof startBefore>>
  let isSilent = false
  const heard: string[] = []

  beforeAll(async () => {
    servicePort = await freePort()
    service = createServer((request, response) => {
      const { headers } = request
      const recipient = String(headers['auth-smtp-to'])
      heard.push([headers['client-ip'], headers['auth-smtp-helo'], headers['auth-smtp-from'], recipient].join(' '))
      if (isSilent) return
      if (recipient.includes('@a.example')) {
        response.setHeader('Auth-Status', 'OK')
        response.setHeader('Auth-Server', '127.0.0.1')
        response.setHeader('Auth-Port', String(postfix.ports.xclient))
      } else if (recipient.includes('gone@')) {
        response.setHeader('Auth-Status', 'Nobody here')
        response.setHeader('Auth-Error-Code', '550')
      }
      response.end()
    })
    service.listen(servicePort, '127.0.0.1')
    await once(service, 'listening')
    gateway = await startBefore(
      `[lookup.service]\nurl = "http://127.0.0.1:${servicePort}/auth"\ntimeout = "2s"`,
      '[[route]]\nrecipients = ["a.example", "b.example"]\nask = "service"\nto = "inside"',
    )
  })
  afterAll(async () => {
    service?.closeAllConnections()
    service?.close()
    await gateway?.stop()
  })

  test('X2, J12: mail goes to the server that it names, and that one sees the client', async () => {
    const sent = await swaks({
      port: gateway.port,
      to: 'ann@a.example',
      subject: 'by HTTP',
      args: proxyV2('203.0.113.61'),
    })
    expect(sent).toMatchObject({ code: 0 })
    await postfix.waitForMessage('Subject: by HTTP')
    await postfix.waitForLog('the client', /client=unknown\[203\.0\.113\.61\]/)
    expect(heard).toContain('203.0.113.61 client.example.net MAIL FROM:<bob@example.net> RCPT TO:<ann@a.example>')
  })

  test('what it refuses is refused, in its words', async () => {
    const { stdout } = await swaks({ port: gateway.port, to: 'gone@b.example', args: proxyV2('203.0.113.62') })
    expect(stdout).toMatch(/<\*\* 550 .*Nobody here/)
  })

  test('what makes no sense, what is late and who is gone defer, in bounded time', async () => {
    const defers = async (): Promise<void> => {
      const startedAt = performance.now()
      const { stdout } = await swaks({ port: gateway.port, to: 'ann@b.example', args: proxyV2('203.0.113.63') })
      expect(stdout).toMatch(/<\*\* 4\d\d /)
      expect(performance.now() - startedAt).toBeLessThan(15_000)
    }
    await defers()
    expect(await gateway.waitForLog('the failure', ({ event }) => event === 'lookup.failed')).toMatchObject({
      lookup: 'service',
      reason: 'without Auth-Status',
    })
    isSilent = true
    await defers()
    service.closeAllConnections()
    service.close()
    await defers()
    // Each refusal says why; the failures themselves are told once a second.
    await gateway.waitForLog('that it is gone', ({ event, msg = '' }) => {
      return event === 'policy.refused' && msg.includes('lookup service: connect ECONNREFUSED')
    })
  })
})

describe('Redis', () => {
  let redis: ChildProcess
  let redisPort: number
  let gateway: Awaited<ReturnType<typeof startBefore>>

  async function startRedis(): Promise<void> {
    requirePeer('redis-server')
    const args = ['--port', `${redisPort}`, '--bind', '127.0.0.1', '--save', '', '--dir', temporaryFolder('redis')]
    redis = start('redis-server', args)
    await eventually('Redis to answer', () =>
      say('PING').then((reply) => (reply.startsWith('+PONG') ? true : undefined)),
    )
    await say('SET postern:route:ann@b.example other')
    await say('SET postern:route:@b.example inside')
    await say('SET postern:route:@.b.example inside')
    await say('SET postern:route:gone@b.example refuse')
    await say('SET postern:route:@c.example broken/value')
  }

  /** RESP knows commands on a line as well. */
  function say(command: string): Promise<string> {
    return new Promise((resolve) => {
      const socket = connect(redisPort, '127.0.0.1')
      socket.on('error', () => {
        resolve('')
      })
      socket.on('connect', () => socket.write(`${command}\r\n`))
      socket.on('data', (bytes) => {
        socket.destroy()
        resolve(bytes.toString())
      })
    })
  }

  const to = (recipient: string, client = '203.0.113.64'): ReturnType<typeof swaks> =>
    swaks({ port: gateway.port, to: recipient, subject: recipient, args: proxyV2(client) })

  beforeAll(async () => {
    redisPort = await freePort()
    await startRedis()
    gateway = await startBefore(
      `[lookup.directory]\nurl = "redis://127.0.0.1:${redisPort}"\ntimeout = "10s"`,
      '[[route]]\nask = "directory"',
    )
  })
  afterAll(async () => {
    redis?.kill()
    await gateway?.stop()
  })

  test('J12: the most specific key decides, for anybody’s mail', async () => {
    expect(await to('Ann@B.example', '203.0.113.65')).toMatchObject({ code: 0 })
    await postfix.waitForMessage('Subject: Ann@B.example')
    // It went to `other`, which announces nobody.
    await postfix.waitForLog('us', /client=unknown\[127\.0\.0\.1\]/)
    expect(await to('bob@b.example', '203.0.113.66')).toMatchObject({ code: 0 })
    await postfix.waitForLog('the client', /client=unknown\[203\.0\.113\.66\]/)
    expect(await to('bob@sub.b.example', '203.0.113.67')).toMatchObject({ code: 0 })
    await postfix.waitForLog('the client', /client=unknown\[203\.0\.113\.67\]/)
  })

  test.each([
    ['gone@b.example', 550],
    ['ann@unknown.example', 550],
    ['ann@c.example', 451],
  ])('%s is answered %i', async (recipient, code) => {
    expect((await to(recipient)).stdout).toContain(`<** ${code} `)
  })

  test('RD-01: while it is away mail is deferred in bounded time, and goes on when it is back', async () => {
    redis.kill('SIGKILL')
    await once(redis, 'close')
    const startedAt = performance.now()
    expect((await to('bob@b.example')).stdout).toContain('<** 451 ')
    expect(performance.now() - startedAt).toBeLessThan(15_000)
    await startRedis()
    await eventually('mail to go on', async () => ((await to('bob@b.example')).code === 0 ? true : undefined))
  })
})
