import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { once } from 'node:events'
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { get as httpGet, request, type IncomingMessage } from 'node:http'
import type { Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { pagePolicy } from '../../src/admin/page.ts'
import { openAdmin, type AdminSubject, type ReloadOutcome } from '../../src/admin/endpoint.ts'
import type { Sessions, Status, StatusNews } from '../../src/admin/status.ts'
import { limits } from '../../src/limits.ts'
import { judgeHealth, type Vitals } from '../../src/supervisor/health.ts'

let dataDir = ''
beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'postern-health-'))
})
afterAll(() => rm(dataDir, { recursive: true }))

const vitalsOf = (vitals: Partial<Vitals>): Vitals => ({
  isLeaving: false,
  isStopping: false,
  workersReady: 2,
  workersWanted: 2,
  connections: 3,
  dataDir,
  backends: [],
  listenersDown: [],
  ...vitals,
})

/** A gateway that does nothing but keep what it was asked for. */
class Subject implements AdminSubject {
  readonly acts: string[] = []
  readonly metricsType = 'text/plain; version=0.0.4'
  readonly #vitals: Partial<Vitals>
  reloadOutcome: ReloadOutcome = { outcome: 'done' }

  constructor(vitals: Partial<Vitals> = {}) {
    this.#vitals = vitals
  }

  health() {
    return judgeHealth(vitalsOf(this.#vitals))
  }

  metrics() {
    return Promise.resolve('postern_connections_open 1\n')
  }

  status() {
    return Promise.resolve({ hostname: 'mx.example.org' } as Status)
  }

  news() {
    return Promise.resolve({ at: 1 } as StatusNews)
  }

  sessions(matching: string, withUsers: boolean): Promise<Sessions> {
    const username = withUsers ? { username: 'ann@example.org' } : {}
    const session = { id: matching, listener: 'mx', ...username, commands: 1, seconds: 2 }
    return Promise.resolve({ matches: 1, sessions: [session], topClients: [], missing: 0 })
  }

  challengeText(path: string) {
    return path === '/.well-known/acme-challenge/token_1' ? 'token_1.thumbprint' : undefined
  }

  reload() {
    this.acts.push('reload')
    return Promise.resolve(this.reloadOutcome)
  }

  drain() {
    this.acts.push('drain')
    return 40_000
  }
}

interface Ask {
  readonly subject?: Subject
  readonly path?: string
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly tokenFile?: string
  readonly host?: string
}

async function ask({ subject = new Subject(), path = '/healthz', method = 'GET', headers = {}, ...rest }: Ask) {
  const { tokenFile, host = '127.0.0.1' } = rest
  const admin = await openAdmin({ host, port: 0 }, tokenFile === undefined ? {} : { tokenFile }, subject)
  try {
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
    // `fetch` lets nobody choose Host and Origin.
    request({ host: '127.0.0.1', port: admin.port, path, method, headers }, resolve).on('error', reject).end()
    const response = await promise
    const text = (await response.toArray()).join('')
    const isJson = response.headers['content-type'] === 'application/json' && text !== ''
    return { status: response.statusCode, headers: response.headers, body: isJson ? JSON.parse(text) : text }
  } finally {
    admin.close()
  }
}

const get = (vitals: Partial<Vitals>, path = '/healthz', method = 'GET') =>
  ask({ subject: new Subject(vitals), path, method })

describe('challenges of an authority', () => {
  const path = '/.well-known/acme-challenge/token_1'

  test('are answered by whatever name it comes, as nothing else is', async () => {
    const headers = { host: 'mx.example.org' }
    expect(await ask({ path, headers })).toMatchObject({
      status: 200,
      body: 'token_1.thumbprint',
      headers: { 'content-type': 'application/octet-stream' },
    })
    expect((await ask({ path: '/status', headers })).status).toBe(421)
  })

  test.each([
    ['another token', '/.well-known/acme-challenge/token_2', 'GET'],
    ['another method', path, 'POST'],
  ])('%s finds nothing', async (_, asked, method) => {
    expect((await ask({ path: asked, method })).status).toBe(404)
  })
})

describe('OP-08: the health endpoint', () => {
  test('all is well', async () => {
    expect(await get({})).toMatchObject({
      status: 200,
      body: { status: 'ok', reasons: [], workers: { ready: 2, wanted: 2 }, connections: 3 },
    })
  })

  const rows = [
    ['a worker is missing', { workersReady: 1 }, '1 of 2 workers are ready'],
    ['the gateway is to be drained', { isLeaving: true }, 'leaving'],
    ['the gateway stops', { isLeaving: true, isStopping: true }, 'stopping'],
    ['the store is gone', { dataDir: '/nonexistent' }, 'the store cannot be written: ENOENT'],
  ] as const
  test.each(rows)('%s', async (_what, vitals, reason) => {
    expect(await get(vitals)).toMatchObject({ status: 503, body: { status: 'unavailable', reasons: [reason] } })
  })

  test('RS-01: it outlives every connection that the system cannot give it', async () => {
    let server: Server | undefined
    const onListen = (message: unknown): void => {
      server = (message as { readonly server: Server }).server
    }
    subscribe('tracing:net.server.listen:asyncStart', onListen)
    const admin = await openAdmin({ host: '127.0.0.1', port: 0 }, {}, new Subject())
    unsubscribe('tracing:net.server.listen:asyncStart', onListen)
    const isHeard = [1, 2].map(() => server?.emit('error', new Error('accept ENFILE')))
    admin.close()
    expect(isHeard).toEqual([true, true])
  })

  test('OP-06: nothing else is answered, and nothing can be changed', async () => {
    for (const path of [
      '/elsewhere',
      '/page/',
      '/page/main.ts',
      '/page/../package.json',
      '/page/%2e%2e/package.json',
      '//',
      'http://[',
      '/__proto__',
    ]) {
      expect((await get({}, path)).status).toBe(404)
    }
    expect((await get({}, '/healthz', 'POST')).status).toBe(405)
  })
})

describe('the dashboard’s part of it', () => {
  test('the page comes under its own policy, and is kept by nobody', async () => {
    const admin = await openAdmin({ host: '127.0.0.1', port: 0 }, {}, new Subject())
    try {
      const response = await fetch(`http://127.0.0.1:${admin.port}/`)
      expect(response.status).toBe(200)
      expect(response.headers.get('content-type')).toBe('text/html; charset=utf-8')
      expect(response.headers.get('content-security-policy')).toBe(pagePolicy)
      expect(response.headers.get('cache-control')).toBe('no-store')
      expect(response.headers.get('x-content-type-options')).toBe('nosniff')
      expect(await response.text()).toMatch(/^<!doctype html>/)
    } finally {
      admin.close()
    }
  })

  test.each([
    ['a header', 'PROXY TCP4 203.0.113.7 192.0.2.1 4567 25', 200, /"text":"valid: /],
    ['nothing of the kind', 'hello', 200, /"error":"it is neither/],
    ['more than the largest header', '0'.repeat(600_000), 413, /"error":"that is longer/],
  ])('C5: what is asked of the decoder: %s', async (_, body, status, answer) => {
    const admin = await openAdmin({ host: '127.0.0.1', port: 0 }, {}, new Subject())
    try {
      const response = await fetch(`http://127.0.0.1:${admin.port}/inspect`, { method: 'POST', body })
      expect({ status: response.status, answer: await response.text() }).toEqual({
        status,
        answer: expect.stringMatching(answer),
      })
    } finally {
      admin.close()
    }
  })
})

const token = 'a-token-of-some-length'

async function writeToken(text: string = token, mode = 0o600): Promise<string> {
  const file = join(dataDir, 'token')
  await writeFile(file, `${text}\n`)
  await chmod(file, mode)
  return file
}

describe('OP-06: what is read', () => {
  test.each([
    ['/metrics', 'postern_connections_open 1\n'],
    ['/status', { hostname: 'mx.example.org' }],
  ])('%s', async (path, body) => {
    const answer = await ask({ path })
    expect(answer).toMatchObject({ status: 200, body })
    expect(answer.headers).toMatchObject({
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
      'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
    })
    expect(answer.headers).not.toHaveProperty('access-control-allow-origin')
  })

  test('who has an account is told to nobody but the holder of the token', async () => {
    const path = '/sessions?matching=abc'
    expect((await ask({ path })).body.sessions).toEqual([{ id: 'abc', listener: 'mx', commands: 1, seconds: 2 }])
    const headers = { authorization: `Bearer ${token}` }
    const granted = await ask({ path, headers, tokenFile: await writeToken() })
    expect(granted.body.sessions[0]).toMatchObject({ username: 'ann@example.org' })
  })

  test('a bug of a subject is a 500, and the endpoint goes on', async () => {
    const subject = new Subject()
    subject.status = () => Promise.reject(new Error('a bug'))
    subject.news = () => Promise.reject(new Error('a bug'))
    expect(await ask({ subject, path: '/status' })).toMatchObject({ status: 500, body: { error: 'internal error' } })
    expect(await ask({ subject, path: '/events' })).toMatchObject({ status: 200, body: '' })
  })

  test.each([
    ['evil.example', 421],
    ['evil.example:2080', 421],
    ['127.0.0.1.evil.example', 421],
    ['192.0.2.1', 421],
    ['localhost:2080', 200],
    ['127.9.9.9', 200],
    ['[::1]:2080', 200],
  ])('a page whose name was made to mean loopback reads nothing: Host %s', async (host, status) => {
    expect((await ask({ headers: { host } })).status).toBe(status)
  })

  test('an endpoint for the network answers to every name', async () => {
    expect((await ask({ host: '0.0.0.0', headers: { host: 'gateway.example' } })).status).toBe(200)
  })

  test('news come as server-sent events, and no more than so many may listen', async () => {
    const admin = await openAdmin({ host: '127.0.0.1', port: 0 }, {}, new Subject())
    try {
      const listen = async (): Promise<IncomingMessage> => {
        const asked = httpGet({ port: admin.port, host: '127.0.0.1', path: '/events', agent: false })
        asked.on('error', () => {})
        const [response] = (await once(asked, 'response')) as [IncomingMessage]
        return response
      }
      const first = await listen()
      expect(first.headers['content-type']).toBe('text/event-stream')
      const [chunk] = (await once(first, 'data')) as [Buffer]
      expect(chunk.toString()).toBe('event: news\ndata: {"at":1}\n\n')
      const others = await Promise.all(Array.from({ length: limits.maxEventStreams }, listen))
      expect(others.map(({ statusCode }) => statusCode).filter((status) => status === 503)).toHaveLength(1)
    } finally {
      admin.close()
    }
  })
})

describe('OP-06: what acts', () => {
  const authorization = `Bearer ${token}`
  const rows = [
    { what: 'the token', headers: { authorization }, status: 202 },
    { what: 'the token and a page of our own', headers: { authorization, origin: 'ours' }, status: 202 },
    { what: 'no token', headers: {}, status: 401 },
    { what: 'a wrong token', headers: { authorization: 'Bearer a-token-of-some-lengtH' }, status: 401 },
    { what: 'the token as a password', headers: { authorization: `Basic ${token}` }, status: 401 },
    { what: 'a page of a stranger', headers: { authorization, origin: 'https://evil.example' }, status: 403 },
    { what: 'a page without an origin', headers: { authorization, origin: 'null' }, status: 403 },
    { what: 'another site, by its browser', headers: { authorization, 'sec-fetch-site': 'cross-site' }, status: 403 },
    {
      what: 'a page of our own, by its browser',
      headers: { authorization, 'sec-fetch-site': 'same-origin' },
      status: 202,
    },
  ]
  test.each(rows)('$what: $status', async ({ headers, status }) => {
    const subject = new Subject()
    const host = '127.0.0.1:2080'
    const sent = Object.entries({ host, ...headers }).map(([name, value]) => [
      name,
      value === 'ours' ? `http://${host}` : value,
    ])
    const file = await writeToken()
    const answer = await ask({
      subject,
      path: '/drain',
      method: 'POST',
      tokenFile: file,
      headers: Object.fromEntries(sent) as Record<string, string>,
    })
    expect({ status: answer.status, acts: subject.acts }).toEqual({ status, acts: status === 202 ? ['drain'] : [] })
  })

  test.each([
    ['others can read it', token, 0o640, /mode is 0640/],
    ['it is short', 'short', 0o600, /16 printable characters/],
    ['it is two words', 'a token with some words', 0o600, /one word/],
  ])('a token file is not believed when %s', async (_what, text, mode, why) => {
    const subject = new Subject()
    const headers = { authorization: `Bearer ${text}` }
    const file = await writeToken(text, mode)
    const answer = await ask({ subject, path: '/reload', method: 'POST', headers, tokenFile: file })
    expect(answer).toMatchObject({ status: 403, body: { error: expect.stringMatching(why) } })
    expect(subject.acts).toEqual([])
  })

  test('without a token file nobody acts, and GET never does', async () => {
    const subject = new Subject()
    expect(await ask({ subject, path: '/drain', method: 'POST' })).toMatchObject({ status: 403 })
    const file = await writeToken()
    expect(await ask({ subject, path: '/drain', headers: { authorization }, tokenFile: file })).toMatchObject({
      status: 405,
    })
    expect(subject.acts).toEqual([])
  })

  test('a reload tells what came of it', async () => {
    const subject = new Subject()
    const problem = { file: 'f', line: 1, path: 'p', expected: 'e', found: 'x' }
    const headers = { authorization }
    const file = await writeToken()
    const reload = () => ask({ subject, path: '/reload', method: 'POST', headers, tokenFile: file })
    expect(await reload()).toMatchObject({ status: 200, body: { outcome: 'done' } })
    subject.reloadOutcome = { outcome: 'refused', problems: [problem] }
    expect(await reload()).toMatchObject({ status: 409, body: { outcome: 'refused', problems: [problem] } })
  })
})
