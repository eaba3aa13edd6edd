// Authorities that are slow, wrong or hostile. What a right one says, and what it wants signed, is tested with Pebble
// (end-to-end/acme.test.ts).
import { createPrivateKey, generateKeyPairSync, X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, expect, test } from 'vitest'
import { Challenges } from '../../src/acme/challenges.ts'
import { failureOfProblem, problemIn } from '../../src/acme/failure.ts'
import { orderCertificate } from '../../src/acme/order.ts'
import { makeSelfSignedCertificate } from '../../src/certificate/self-signed.ts'
import type { AcmeConfig } from '../../src/config/schema.ts'
import { limits } from '../../src/limits.ts'

const accountKey = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({
  type: 'pkcs8',
  format: 'pem',
})

interface Said {
  readonly status?: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: unknown
}

type Answers = Readonly<Record<string, (url: string) => Said | Promise<Said> | undefined>>

const problem = (type: string, detail: string, status = 403, headers: Readonly<Record<string, string>> = {}): Said => ({
  status,
  headers: { 'content-type': 'application/problem+json', ...headers },
  body: { type: `urn:ietf:params:acme:error:${type}`, detail },
})

/** As the authority tells of an order (RFC 8555 section 7.1.3). */
function order(url: string, status: string): object {
  return {
    status,
    authorizations: [`${url}/authorization`],
    finalize: `${url}/finalize`,
    certificate: `${url}/certificate`,
  }
}

/** An authority that agrees to everything, but for what is told otherwise; it looks at no signature. */
async function authority(answers: Answers = {}) {
  const asked: string[] = []
  const usual: Answers = {
    '/dir': (url) => ({
      body: { newNonce: `${url}/nonce`, newAccount: `${url}/account`, newOrder: `${url}/orders` },
    }),
    '/nonce': () => ({}),
    '/account': (url) => ({ status: 201, headers: { location: `${url}/account/1` }, body: { status: 'valid' } }),
    '/orders': (url) => ({ status: 201, headers: { location: `${url}/order` }, body: order(url, 'pending') }),
    '/order': (url) => ({ body: order(url, asked.includes('/finalize') ? 'valid' : 'ready') }),
    '/authorization': (url) => ({
      body: {
        status: 'pending',
        identifier: { type: 'dns', value: 'mx.example.org' },
        challenges: [{ type: 'http-01', status: 'pending', url: `${url}/challenge`, token: 'token_1' }],
      },
    }),
    '/challenge': (url) => ({ body: { type: 'http-01', status: 'processing', url: `${url}/challenge` } }),
    '/finalize': (url) => ({ body: order(url, 'processing') }),
    '/certificate': async () => ({
      headers: { 'content-type': 'application/pem-certificate-chain' },
      body: (await makeSelfSignedCertificate({ hostname: 'mx.example.org', notBefore: new Date(), validDays: 1 })).cert,
    }),
  }
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const path = request.url ?? ''
    request.resume()
    asked.push(path)
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const said = await (answers[path] ?? usual[path])?.(url)
    if (said === undefined) return
    const { status = 200, headers = {}, body = '' } = said
    const text = typeof body === 'string' ? body : JSON.stringify(body)
    response.writeHead(status, {
      'content-type': typeof body === 'string' ? 'text/plain' : 'application/json',
      'replay-nonce': 'bm9uY2U',
      ...headers,
    })
    response.end(text)
  }
  const server = createServer((request, response) => void answer(request, response))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    asked,
    config: configOf(`http://127.0.0.1:${port}/dir`),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

function configOf(directory: string): AcmeConfig {
  return {
    names: ['mx.example.org'],
    directory,
    email: 'postmaster@example.org',
    folder: '/nowhere',
    keyType: 'ecdsa',
    renewBeforeMs: 1,
    bind: { host: '0.0.0.0', port: 8080 },
  }
}

const parts = (signal = new AbortController().signal) => ({ accountKey, challenges: new Challenges(), signal })

const refusedChallenge = (url: string): Said => ({
  body: {
    status: 'invalid',
    identifier: { type: 'dns', value: 'mx.example.org' },
    challenges: [
      {
        type: 'http-01',
        status: 'invalid',
        url: `${url}/challenge`,
        token: 'token_1',
        error: { type: 'urn:ietf:params:acme:error:connection', detail: 'timed out' },
      },
    ],
  },
})

describe('an order that comes to nothing says why, and what to do', () => {
  const invalid = { status: 'invalid', authorizations: [] as string[], finalize: '' }
  test.each<[string, Answers, string, RegExp, RegExp]>([
    ['no directory', { '/dir': () => ({ status: 500 }) }, 'authority', /error 500/, /asked again/],
    ['a page in its place', { '/dir': () => ({ body: '<html>' }) }, 'authority', /newAccount/, /asked again/],
    [
      'an answer that does not end',
      { '/dir': () => ({ body: ' '.repeat(limits.maxAcmeAnswerBytes + 1) }) },
      'authority',
      /more than 1048576 bytes/,
      /asked again/,
    ],
    [
      'a way to somewhere else',
      { '/dir': () => ({ status: 302, headers: { location: 'http://127.0.0.1:1/' } }) },
      'authority',
      /redirect/,
      /asked again/,
    ],
    [
      'JSON that is none',
      { '/orders': () => ({ headers: { 'content-type': 'application/json' }, body: '{' }) },
      'authority',
      /JSON/,
      /asked again/,
    ],
    [
      'an account of its own',
      { '/account': () => problem('externalAccountRequired', 'who are you?') },
      'account',
      /^externalAccountRequired: who are you\?$/,
      /tls\.acme\.external-account/,
    ],
    [
      'an address of e-mail that it does not like',
      { '/account': () => problem('invalidContact', 'no MX', 400) },
      'account',
      /no MX/,
      /tls\.acme\.email/,
    ],
    [
      'a name that it does not like',
      { '/orders': () => problem('rejectedIdentifier', 'forbidden by policy', 400) },
      'name',
      /forbidden by policy/,
      /tls\.acme\.names/,
    ],
    [
      'a name that it could not reach',
      { '/order': () => ({ body: { ...invalid } }), '/authorization': refusedChallenge },
      'challenge',
      /^mx\.example\.org: connection: timed out$/,
      /port 80 of each name.*port 8080 of this gateway/,
    ],
    [
      'an order that is over, and nobody says why',
      { '/order': () => ({ body: { ...invalid } }) },
      'authority',
      /invalid, and nothing says why/,
      /asked again/,
    ],
    [
      'no challenge that can be met here',
      {
        '/authorization': () => ({
          body: { status: 'pending', identifier: { type: 'dns', value: 'mx.example.org' }, challenges: [] },
        }),
      },
      'name',
      /no challenge by HTTP/,
      /tls\.acme\.names/,
    ],
    ['a certificate for another key', {}, 'authority', /for another key/, /asked again/],
    [
      'a certificate that is none',
      { '/certificate': () => ({ body: 'sorry' }) },
      'authority',
      /no certificate/,
      /asked again/,
    ],
  ])('%s', async (_, answers, reason, cause, mend) => {
    await using other = await authority(answers)
    const given = parts()
    expect(await orderCertificate(other.config, given)).toEqual({
      ok: false,
      failure: expect.objectContaining({
        reason,
        cause: expect.stringMatching(cause),
        mend: expect.stringMatching(mend),
      }),
    })
    // Whatever came of it, nothing is shown any more.
    expect(given.challenges.textFor('/.well-known/acme-challenge/token_1')).toBeUndefined()
  })

  test('nobody there', async () => {
    const gone = await authority()
    await gone[Symbol.asyncDispose]()
    const outcome = await orderCertificate(gone.config, parts())
    expect(outcome).toMatchObject({
      ok: false,
      failure: {
        reason: 'unreachable',
        cause: expect.stringMatching(/ECONNREFUSED/),
        mend: expect.stringMatching(/NODE_EXTRA_CA_CERTS/),
      },
    })
  })

  test.each([
    ['3600', 3_600_000],
    ['122400', 122_400_000],
    ['99999999', limits.maxAcmeRetryAfterMs],
    ['a date in two hours', 7_200_000],
  ])('too many orders, and when the next one may be: Retry-After: %s', async (said, ms) => {
    const retryAfter = said.startsWith('a date') ? new Date(Date.now() + ms).toUTCString() : said
    await using other = await authority({
      '/orders': () => problem('rateLimited', 'too many', 429, { 'retry-after': retryAfter }),
    })
    const outcome = await orderCertificate(other.config, parts())
    expect(outcome).toMatchObject({ ok: false, failure: { reason: 'rate-limited', cause: 'rateLimited: too many' } })
    const notBeforeMs = outcome.ok ? 0 : (outcome.failure.notBeforeMs ?? 0)
    expect(Math.abs(notBeforeMs - ms)).toBeLessThan(60_000)
    // It is not asked again before that.
    expect(other.asked.filter((path) => path === '/orders')).toHaveLength(1)
  })

  test('an end of the gateway ends the order, wherever it is', async () => {
    const ending = new AbortController()
    await using silent = await authority({
      '/orders': () => {
        ending.abort()
        return undefined
      },
    })
    expect(await orderCertificate(silent.config, parts(ending.signal))).toMatchObject({
      ok: false,
      failure: { reason: 'stopped' },
    })
  })
})

test('while an order is under way the text of its challenge is shown', async () => {
  const given = parts()
  const shown: (string | undefined)[] = []
  await using other = await authority({
    '/challenge': (url) => {
      shown.push(given.challenges.textFor('/.well-known/acme-challenge/token_1'))
      return { body: { type: 'http-01', status: 'processing', url: `${url}/challenge` } }
    },
  })
  await orderCertificate(other.config, given)
  // RFC 8555 section 8.1: the token, a dot, and the thumbprint of the account's key.
  expect(shown).toEqual([expect.stringMatching(/^token_1\.[\w-]{43}$/)])
})

describe('problem documents', () => {
  test.each([
    [undefined],
    ['oops'],
    [{ type: 'about:blank' }],
    [{ type: 7, detail: 'urn:ietf:params:acme:error:dns' }],
  ])('%j is none', (document) => {
    expect(problemIn(document)).toBeUndefined()
  })

  test('one of a type that nobody knew is trouble of the authority', () => {
    const found = problemIn({ type: 'urn:ietf:params:acme:error:onStrike' })
    expect(found && failureOfProblem(found, 'here')).toMatchObject({ reason: 'authority', cause: 'onStrike' })
  })
})

test('a self-signed certificate with its key is one that `troubleOf` takes', async () => {
  const { cert, key } = await makeSelfSignedCertificate({ hostname: 'a.example', notBefore: new Date(), validDays: 1 })
  const pem = `${cert}${key}`
  expect(new X509Certificate(pem).checkPrivateKey(createPrivateKey(pem))).toBe(true)
})
