import { describe, expect, test } from 'vitest'
import { TokenIntrospection } from '../../src/auth/token-introspection.ts'
import type { OauthConfig } from '../../src/config/schema.ts'
import { GatewayError } from '../../src/errors.ts'
import { limits } from '../../src/limits.ts'
import { say, TokenService } from '../kit/token-service.ts'

const nowMs = Date.parse('2026-02-03T04:05:06Z')
const now = nowMs / 1000
const active = { active: true, username: 'ann' }

function introspection(
  service: TokenService,
  config: Partial<OauthConfig> = {},
  clock = () => nowMs,
): TokenIntrospection {
  const whole = {
    introspectionUrl: service.url,
    accountClaim: 'username',
    timeoutMs: 30_000,
    cacheMs: 60_000,
    ...config,
  }
  return new TokenIntrospection(whole, clock)
}

const client = '192.0.2.1'

describe('the question (RFC 7662 section 2.1)', () => {
  test('is a form with the token, from us', async () => {
    await using service = await TokenService.start({ right: active })
    const by = introspection(service, { clientId: 'post ern', clientSecret: 'a:b%' })
    expect(await by.check('right', client)).toEqual({ outcome: 'active', account: 'ann' })
    const authorization = `Basic ${Buffer.from('post+ern:a%3Ab%25').toString('base64')}`
    const form = { token: 'right', token_type_hint: 'access_token' }
    expect(service.asked).toEqual([{ form, authorization, accept: 'application/json' }])
  })

  test('has no credentials where none are configured', async () => {
    await using service = await TokenService.start()
    expect(await introspection(service).check('wrong', client)).toEqual({ outcome: 'inactive' })
    expect(service.asked[0]?.authorization).toBeUndefined()
  })

  test('is not asked of a token that is too long to be one', async () => {
    await using service = await TokenService.start()
    expect(await introspection(service).check('x'.repeat(8193), client)).toEqual({ outcome: 'inactive' })
    expect(service.asked).toEqual([])
  })
})

describe('the answer (RFC 7662 section 2.2)', () => {
  test.each<[string, object, Partial<OauthConfig>, string | undefined]>([
    ['active', active, {}, 'ann'],
    ['by another claim', { active: true, email: 'ann@example.org' }, { accountClaim: 'email' }, 'ann@example.org'],
    ['not active', { active: false, username: 'ann' }, {}, undefined],
    ['nearly active', { active: 'true', username: 'ann' }, {}, undefined],
    ['nobody', { active: true }, {}, undefined],
    ['nobody by that claim', active, { accountClaim: 'email' }, undefined],
    ['a name that is none', { active: true, username: 7 }, {}, undefined],
    ['an empty name', { active: true, username: '' }, {}, undefined],
    ['a claim of every object', active, { accountClaim: '__proto__' }, undefined],
    ['expired', { ...active, exp: now }, {}, undefined],
    ['not expired', { ...active, exp: now + 1 }, {}, 'ann'],
    ['of tomorrow', { ...active, nbf: now + 1 }, {}, undefined],
    ['of now', { ...active, nbf: now }, {}, 'ann'],
    ['the scopes', { ...active, scope: 'openid mail imap' }, { scope: 'mail openid' }, 'ann'],
    ['one scope too few', { ...active, scope: 'openid' }, { scope: 'mail openid' }, undefined],
    ['a part of a scope', { ...active, scope: 'email' }, { scope: 'mail' }, undefined],
    ['no scopes', active, { scope: 'mail' }, undefined],
    ['the audience', { ...active, aud: 'mail' }, { audience: 'mail' }, 'ann'],
    ['one of its audiences', { ...active, aud: ['web', 'mail'] }, { audience: 'mail' }, 'ann'],
    ['another audience', { ...active, aud: ['web'] }, { audience: 'mail' }, undefined],
    ['no audience', active, { audience: 'mail' }, undefined],
  ])('%s', async (_, answer, config, account) => {
    await using service = await TokenService.start({ right: answer })
    const verdict = await introspection(service, config).check('right', client)
    expect(verdict).toEqual(account === undefined ? { outcome: 'inactive' } : { outcome: 'active', account })
  })

  test.each<[string, Parameters<TokenService['answerBy']>[0], RegExp]>([
    ['401: it is we who may not ask', (_, response) => say(response, {}, 401), /status 401/],
    ['500', (_, response) => say(response, {}, 500), /status 500/],
    [
      'a redirect, with the token',
      (_, response) => response.writeHead(307, { location: '/elsewhere' }).end(),
      /redirect/,
    ],
    ['no JSON', (_, response) => response.end('marker-4711'), /no JSON/],
    ['no object', (_, response) => say(response, null), /no object/],
    ['more than is read', (_, response) => say(response, 'x'.repeat(70_000)), /over 65536 bytes/],
    ['nothing', (_, response) => response.destroy(), /SOCKET|reset|other side closed/i],
  ])('%s: unavailable, and nothing of the answer is told', async (_, answer, reason) => {
    await using service = await TokenService.start()
    service.answerBy(answer)
    const verdict = await introspection(service).check('right', client)
    expect(verdict).toMatchObject({ outcome: 'unavailable', cause: { code: 'GATEWAY_INTROSPECTION', temporary: true } })
    const { cause } = verdict as { readonly cause: GatewayError }
    expect(cause.message).toMatch(reason)
    expect(cause.message).toContain(service.url)
    expect(cause.message).not.toContain('marker')
  })

  test('none in time', async () => {
    await using service = await TokenService.start()
    service.answerBy((_, response) => response.writeHead(200).write('{'))
    const verdict = await introspection(service, { timeoutMs: 50 }).check('right', client)
    expect(verdict).toMatchObject({ outcome: 'unavailable', cause: { message: expect.stringContaining('in time') } })
  })

  test('a service that is not there', async () => {
    const service = await TokenService.start()
    const by = introspection(service)
    await service[Symbol.asyncDispose]()
    expect(await by.check('right', client)).toMatchObject({
      outcome: 'unavailable',
      cause: { message: expect.stringContaining('ECONNREFUSED') },
    })
  })
})

describe('what is remembered', () => {
  test('an active token, for as long as is configured and no longer than it lives', async () => {
    await using service = await TokenService.start({ long: active, short: { ...active, exp: now + 10 } })
    let clock = nowMs
    const by = introspection(service, {}, () => clock)
    const ask = async (): Promise<number> => {
      await by.check('long', client)
      await by.check('short', client)
      return service.asked.length
    }
    expect(await ask()).toBe(2)
    clock += 9_999
    expect(await ask()).toBe(2)
    clock += 1
    expect(await ask()).toBe(3)
    clock = nowMs + 60_000
    expect(await ask()).toBe(5)
  })

  test('nothing, where that is wanted; and never a token that is not active, or an answer that did not come', async () => {
    await using service = await TokenService.start({ right: active })
    const none = introspection(service, { cacheMs: 0 })
    await none.check('right', client)
    await none.check('right', client)
    const some = introspection(service)
    await some.check('wrong', client)
    await some.check('wrong', client)
    expect(service.asked).toHaveLength(4)
    service.answerBy((_, response) => say(response, {}, 500))
    await some.check('right', client)
    service.answerBy((_, response) => say(response, active))
    expect(await some.check('right', client)).toMatchObject({ outcome: 'active' })
  })

  test('AU-12: each token has its own account', async () => {
    await using service = await TokenService.start({ a: active, b: { active: true, username: 'bob' } })
    const by = introspection(service)
    for (let round = 0; round < 2; round++) {
      const verdicts = await Promise.all(['a', 'b'].map((token) => by.check(token, client)))
      expect(verdicts).toMatchObject([{ account: 'ann' }, { account: 'bob' }])
    }
    expect(service.asked).toHaveLength(2)
  })

  test('connections that come together ask once', async () => {
    await using service = await TokenService.start({ right: active })
    const by = introspection(service, { cacheMs: 0 })
    const verdicts = await Promise.all(Array.from({ length: 20 }, () => by.check('right', client)))
    expect(new Set(verdicts.map(({ outcome }) => outcome))).toEqual(new Set(['active']))
    expect(service.asked).toHaveLength(1)
  })

  test('no more than a bound', async () => {
    await using service = await TokenService.start()
    service.answerBy((_, response) => say(response, active))
    const by = introspection(service)
    const few = Array.from({ length: 3 }, (_, index) => `token ${index}`)
    for (const token of few) await by.check(token, client)
    for (const token of few) await by.check(token, client)
    expect(service.asked).toHaveLength(3)
    expect(limits.maxKnownTokens).toBe(10_000)
  })
})

test('AU-09: what is beyond the queue is temporarily unavailable', async () => {
  await using service = await TokenService.start()
  const held: (() => void)[] = []
  const isBusy = Promise.withResolvers<void>()
  let isHolding = true
  service.answerBy((_, response) => {
    const answer = (): void => say(response, active)
    if (!isHolding) return answer()
    held.push(answer)
    if (held.length === limits.tokenChecksAtOnce) isBusy.resolve()
  })
  const by = introspection(service)
  const count = limits.tokenChecksAtOnce + limits.tokenChecksWaiting + 1
  const all = Array.from({ length: count }, (_, index) => by.check(`token ${index}`, client))
  expect(await all.at(-1)).toMatchObject({ outcome: 'unavailable', cause: { code: 'GATEWAY_TOKEN_QUEUE_FULL' } })
  await isBusy.promise
  isHolding = false
  for (const answer of held) answer()
  const outcomes = (await Promise.all(all)).map(({ outcome }) => outcome)
  expect(outcomes.filter((outcome) => outcome === 'active')).toHaveLength(count - 1)
})
