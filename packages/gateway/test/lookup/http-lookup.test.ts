import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, expect, onTestFinished, test } from 'vitest'
import { HttpLookup, type HttpLookupOptions } from '../../src/lookup/http-lookup.ts'
import type { LookupAnswer, LookupQuestion } from '../../src/lookup/lookup.ts'

interface Heard {
  readonly headers: IncomingMessage['headers']
  readonly method: string | undefined
  readonly path: string | undefined
  readonly body: string
}

type Answers = (response: ServerResponse, count: number) => void

async function lookup(
  answers: Answers,
  more: Partial<HttpLookupOptions> = {},
): Promise<{ readonly lookup: HttpLookup; readonly heard: readonly Heard[] }> {
  const heard: Heard[] = []
  const server = createServer((request, response) => {
    let body = ''
    request.on('data', (chunk: Buffer) => (body += chunk.toString()))
    request.on('end', () => {
      heard.push({ headers: request.headers, method: request.method, path: request.url, body })
      answers(response, heard.length)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const asked = new HttpLookup({
    url: `http://127.0.0.1:${port}/route?from=mx`,
    dialect: 'nginx',
    timeoutMs: 30_000,
    retries: 0,
    ...more,
  })
  onTestFinished(async () => {
    server.closeAllConnections()
    server.close()
    await asked.close()
  })
  return { lookup: asked, heard }
}

const question: LookupQuestion = {
  kind: 'mail',
  protocol: 'smtp',
  listener: 'mx',
  connectionId: '0123456789abcdef',
  client: { address: '203.0.113.7', port: 40_000 },
  helo: 'client.example',
  reversePath: 'bob@example.net',
  recipient: 'änn@example.org',
  serverName: 'mx.example.org',
}

const says =
  (headers: Readonly<Record<string, string>>, status = 200): Answers =>
  (response) => {
    response.writeHead(status, headers)
    response.end()
  }

const saysJson =
  (body: unknown): Answers =>
  (response) => {
    response.writeHead(200, { 'content-type': 'application/json' })
    response.end(typeof body === 'string' ? body : JSON.stringify(body))
  }

describe('the dialect of nginx’s auth_http', () => {
  test('asks with its headers, and with no password', async () => {
    const { lookup: asked, heard } = await lookup(
      says({ 'Auth-Status': 'OK', 'Auth-Server': '10.0.0.7', 'Auth-Port': '25' }),
    )
    expect(await asked.ask(question)).toEqual({ found: 'upstream', server: '10.0.0.7:25' })
    expect(heard[0]).toMatchObject({
      method: 'GET',
      path: '/route?from=mx',
      headers: {
        'auth-method': 'none',
        'auth-protocol': 'smtp',
        'auth-login-attempt': '1',
        'client-ip': '203.0.113.7',
        'auth-smtp-helo': 'client.example',
        'auth-smtp-from': 'MAIL FROM:<bob@example.net>',
        'auth-smtp-to': 'RCPT TO:<%C3%A4nn@example.org>',
        'postern-listener': 'mx',
        'postern-connection': '0123456789abcdef',
        'postern-server-name': 'mx.example.org',
      },
    })
    expect(Object.keys(heard[0]?.headers ?? {})).not.toContain('auth-pass')
  })

  test('LG-01: what a client says cannot end a header', async () => {
    const { lookup: asked, heard } = await lookup(says({ 'Auth-Status': 'OK' }))
    await asked.ask({ ...question, username: 'a\r\nAuth-Status: OK%' })
    expect(heard[0]?.headers['auth-user']).toBe('a%0D%0AAuth-Status: OK%25')
  })

  test.each<[string, Readonly<Record<string, string>>, LookupAnswer]>([
    ['OK alone', { 'Auth-Status': 'OK' }, { found: 'upstream' }],
    [
      'IPv6',
      { 'Auth-Status': 'OK', 'Auth-Server': '2001:db8::7', 'Auth-Port': '25' },
      { found: 'upstream', server: '[2001:db8::7]:25' },
    ],
    ['a name of ours', { 'Auth-Status': 'OK', 'Auth-Upstream': 'inside' }, { found: 'upstream', upstream: 'inside' }],
    ['the store', { 'Auth-Status': 'OK', 'Auth-Upstream': 'store' }, { found: 'store' }],
    ['a refusal', { 'Auth-Status': 'no such user' }, { found: 'refusal', isTemporary: false, text: 'no such user' }],
    [
      'a refusal with a code',
      { 'Auth-Status': 'later', 'Auth-Error-Code': '451 4.3.0' },
      { found: 'refusal', isTemporary: true, text: 'later' },
    ],
  ])('%s', async (_, headers, answer) => {
    const { lookup: asked } = await lookup(says(headers))
    expect(await asked.ask(question)).toEqual(answer)
  })

  test('what nginx would sign in with counts for logins, and for no mail', async () => {
    const { lookup: asked } = await lookup(says({ 'Auth-Status': 'OK', 'Auth-User': 'u1', 'Auth-Pass': 'p' }))
    const answer = await asked.ask({ ...question, kind: 'login', username: 'ann' })
    expect(answer).toMatchObject({ found: 'upstream', credentials: { username: 'u1' } })
    expect(answer.found === 'upstream' && answer.credentials?.password?.reveal()).toBe('p')
    expect(JSON.stringify(answer)).not.toContain('"p"')
    expect(await asked.ask(question)).toEqual({ found: 'upstream' })
  })

  test('Auth-Wait holds a refusal back', async () => {
    const { lookup: asked } = await lookup(says({ 'Auth-Status': 'no', 'Auth-Wait': '1' }))
    const startedAt = performance.now()
    await asked.ask(question)
    expect(performance.now() - startedAt).toBeGreaterThan(950)
  })

  test.each([
    ['nothing', says({})],
    ['another status', says({ 'Auth-Status': 'OK' }, 404)],
    ['a redirect', says({ 'Auth-Status': 'OK', location: 'http://127.0.0.1:1/' }, 302)],
    ['a server that is no address', says({ 'Auth-Status': 'OK', 'Auth-Server': '10.0.0.300' })],
    ['a socket on this machine', says({ 'Auth-Status': 'OK', 'Auth-Server': '/run/lmtp' })],
    ['headers without end', says({ 'Auth-Status': 'OK', 'X-Long': 'x'.repeat(20_000) })],
  ])('%s is no answer', async (_, answers) => {
    const { lookup: asked } = await lookup(answers)
    await expect(asked.ask(question)).rejects.toBeInstanceOf(Error)
  })
})

describe('JSON', () => {
  test('asks by POST, with all that is known', async () => {
    const { lookup: asked, heard } = await lookup(saysJson({ to: 'inside' }), { dialect: 'json' })
    expect(await asked.ask(question)).toEqual({ found: 'upstream', upstream: 'inside' })
    expect(heard[0]?.method).toBe('POST')
    expect(JSON.parse(heard[0]?.body ?? '')).toEqual(question)
  })

  test.each<[unknown, LookupAnswer]>([
    [{ to: 'nothing' }, { found: 'nothing' }],
    [{ to: 'store' }, { found: 'store' }],
    [
      { to: 'refuse', code: 450, text: 'later' },
      { found: 'refusal', isTemporary: true, text: 'later' },
    ],
    [{ to: 'refuse' }, { found: 'refusal', isTemporary: false, text: '' }],
    [{ server: '10.0.0.7' }, { found: 'upstream', server: '10.0.0.7' }],
    [
      { to: 'inside', server: '10.0.0.7:25' },
      { found: 'upstream', upstream: 'inside', server: '10.0.0.7:25' },
    ],
  ])('%j', async (body, answer) => {
    const { lookup: asked } = await lookup(saysJson(body), { dialect: 'json' })
    expect(await asked.ask(question)).toEqual(answer)
  })

  test.each([
    ['{'],
    ['[]'],
    ['null'],
    ['{}'],
    ['{"to":5}'],
    ['{"server":5}'],
    ['{"to":"inside","server":"no address"}'],
    [`"${'x'.repeat(70_000)}"`],
  ])('no answer: %.20s', async (body) => {
    const { lookup: asked } = await lookup(saysJson(body), { dialect: 'json' })
    await expect(asked.ask(question)).rejects.toBeInstanceOf(Error)
  })
})

const failingTwice: Answers = (response, count) => {
  if (count === 1) response.destroy()
  else if (count === 2) says({}, 503)(response, count)
  else says({ 'Auth-Status': 'OK' })(response, count)
}

test('JSON may name with what somebody is signed in', async () => {
  const { lookup: asked } = await lookup(saysJson({ to: 'boxes', user: 'u1', token: 't' }), { dialect: 'json' })
  const answer = await asked.ask({ ...question, kind: 'login', username: 'ann' })
  expect(answer).toMatchObject({ found: 'upstream', upstream: 'boxes', credentials: { username: 'u1' } })
  expect(answer.found === 'upstream' && answer.credentials?.token?.reveal()).toBe('t')
  expect(await asked.ask(question)).toEqual({ found: 'upstream', upstream: 'boxes' })
})

describe('a service that fails', () => {
  test('is asked again as often as is wanted, when it was not reached or said 5xx', async () => {
    const { lookup: asked, heard } = await lookup(failingTwice, { retries: 2 })
    expect(await asked.ask(question)).toEqual({ found: 'upstream' })
    expect(heard).toHaveLength(3)
  })

  test('is not asked again for what makes no sense', async () => {
    const { lookup: asked, heard } = await lookup(says({}), { retries: 2 })
    await expect(asked.ask(question)).rejects.toThrow('without Auth-Status')
    expect(heard).toHaveLength(1)
  })

  test('that says nothing is given up in time, whatever the tries', async () => {
    const { lookup: asked, heard } = await lookup(() => {}, { retries: 5, timeoutMs: 200 })
    await expect(asked.ask(question)).rejects.toThrow('no answer within 200 ms')
    // The first try had all of the time.
    expect(heard.length).toBeLessThanOrEqual(1)
  })

  test('that is not there says so at once', async () => {
    const asked = new HttpLookup({ url: 'http://127.0.0.1:1/', dialect: 'json', timeoutMs: 30_000, retries: 1 })
    await expect(asked.ask(question)).rejects.toThrow(/ECONNREFUSED/)
    await asked.close()
  })
})
