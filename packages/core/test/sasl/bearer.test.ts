import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { beginSasl, offeredMechanisms, type Authenticator, type TokenClaim } from '../../src/index.ts'
import { connectionOf, contextOf, endOf, exchange } from './signing-in.ts'

/** The token `right` is ann's. */
class Tokens implements Authenticator {
  readonly asked: TokenClaim[] = []
  readonly tokenHints: NonNullable<Authenticator['tokenHints']>

  constructor(hints: NonNullable<Authenticator['tokenHints']> = {}) {
    this.tokenHints = hints
  }

  async verifyToken(claim: TokenClaim): ReturnType<NonNullable<Authenticator['verifyToken']>> {
    this.asked.push(claim)
    return claim.token.reveal() === 'right' && (claim.username ?? 'ann') === 'ann'
      ? { outcome: 'granted', principal: { account: 'ann@example.org', username: 'ann' } }
      : { outcome: 'denied' }
  }
}

const granted = { outcome: 'granted', username: 'ann', principal: { account: 'ann@example.org', username: 'ann' } }
const denied = { outcome: 'denied', username: 'ann', actsAsOther: false }
const malformed = { outcome: 'malformed', username: '', fault: 'message' }
const hints = { scope: 'mail', discoveryUrl: 'https://id.example.org/.well-known/openid-configuration' }
const to = (authenticator: Authenticator = new Tokens()) => contextOf({ authenticator })

test('both are offered where tokens can be checked', () => {
  const offered = offeredMechanisms({ authenticator: new Tokens(), connection: connectionOf() })
  expect(offered).toEqual(['OAUTHBEARER', 'XOAUTH2'])
})

describe('OAUTHBEARER (RFC 7628)', () => {
  test.each([
    ['with a name', 'n,a=ann,\x01auth=Bearer right\x01\x01'],
    ['without one', 'n,,\x01auth=Bearer right\x01\x01'],
    ['as in section 4.1', 'n,a=ann,\x01host=server.example.com\x01port=143\x01auth=Bearer right\x01\x01'],
    ['from a client that could bind', 'y,a=ann,\x01auth=Bearer right\x01\x01'],
    ['the scheme in any case', 'n,,\x01auth=bearer  right\x01\x01'],
  ])('%s', async (_, message) => {
    expect(await endOf('OAUTHBEARER', to(), message)).toEqual(granted)
  })

  test.each([
    ['no token', 'n,a=ann,\x01\x01'],
    ['nothing', ''],
    ['only the separator, which ends exchanges', '\x01'],
    ['one separator at the end', 'n,a=ann,\x01auth=Bearer right\x01'],
    ['a binding', 'p=tls-exporter,a=ann,\x01auth=Bearer right\x01\x01'],
    ['another scheme', 'n,,\x01auth=Basic right\x01\x01'],
    ['a token with a blank', 'n,,\x01auth=Bearer ri ght\x01\x01'],
    ['a token of nothing', 'n,,\x01auth=Bearer \x01\x01'],
    ['an escape that is none', 'n,a=a=b,\x01auth=Bearer right\x01\x01'],
    ['a line end', 'n,a=ann\r\n,\x01auth=Bearer right\x01\x01'],
    ['XOAUTH2', 'user=ann\x01auth=Bearer right\x01\x01'],
  ])('%s is malformed', async (_, message) => {
    const authenticator = new Tokens()
    expect(await endOf('OAUTHBEARER', to(authenticator), message)).toEqual(malformed)
    expect(authenticator.asked).toEqual([])
  })

  test('AU-08: what is no UTF-8 is malformed', async () => {
    expect(await endOf('OAUTHBEARER', to(), Buffer.from([0xff]))).toEqual(malformed)
  })

  test('section 3.2.3: a token that is refused is answered with a reason, and fails when the client has seen it', async () => {
    const message = 'n,a=ann,\x01auth=Bearer wrong\x01\x01'
    for (const last of ['\x01', '', 'whatever']) {
      expect(await exchange('OAUTHBEARER', to(), message, last)).toEqual({
        challenges: ['{"status":"invalid_token"}'],
        end: denied,
      })
    }
    expect((await exchange('OAUTHBEARER', to(new Tokens(hints)), message)).challenges).toEqual([
      JSON.stringify({ status: 'invalid_token', scope: hints.scope, 'openid-configuration': hints.discoveryUrl }),
    ])
  })

  test.each([
    ['cancels', '*'],
    ['answers what is no base64', '!'],
  ])('AU-01: a client that %s behind the reason has failed all the same', async (_, line) => {
    const begun = beginSasl('OAUTHBEARER', to())
    await begun?.start(Buffer.from('n,a=ann,\x01auth=Bearer wrong\x01\x01').toString('base64'))
    expect(await begun?.answer(line)).toEqual({ next: 'end', end: denied })
  })

  test('without a name it is the token that says who fails', async () => {
    const { end } = await exchange('OAUTHBEARER', to(), 'n,,\x01auth=Bearer wrong\x01\x01', '\x01')
    expect(end).toEqual({ ...denied, username: '' })
  })

  test('the escapes of names are taken out', async () => {
    const authenticator = new Tokens()
    await exchange('OAUTHBEARER', to(authenticator), 'n,a=a=2Cb=3Dc,\x01auth=Bearer right\x01\x01')
    expect(authenticator.asked).toMatchObject([{ mechanism: 'OAUTHBEARER', username: 'a,b=c' }])
  })

  test('LG-02: the token prints as no token', async () => {
    const authenticator = new Tokens()
    await endOf('OAUTHBEARER', to(authenticator), 'n,,\x01auth=Bearer right\x01\x01')
    expect(JSON.stringify(authenticator.asked)).toBe('[{"mechanism":"OAUTHBEARER","token":"[secret]"}]')
  })
})

describe('XOAUTH2', () => {
  test('the right token', async () => {
    expect(await endOf('XOAUTH2', to(), 'user=ann\x01auth=Bearer right\x01\x01')).toEqual(granted)
  })

  test.each([
    ['no user', 'user=\x01auth=Bearer right\x01\x01'],
    ['no token', 'user=ann\x01\x01'],
    ['one separator at the end', 'user=ann\x01auth=Bearer right\x01'],
    ['OAUTHBEARER', 'n,a=ann,\x01auth=Bearer right\x01\x01'],
    ['nothing', ''],
  ])('%s is malformed', async (_, message) => {
    expect(await endOf('XOAUTH2', to(), message)).toEqual(malformed)
  })

  test('a token that is refused is answered with a reason, and fails behind an empty line', async () => {
    const message = 'user=ann\x01auth=Bearer wrong\x01\x01'
    expect(await exchange('XOAUTH2', to(), message, '')).toEqual({
      challenges: ['{"status":"401","schemes":"bearer"}'],
      end: denied,
    })
    expect((await exchange('XOAUTH2', to(new Tokens(hints)), message)).challenges).toEqual([
      '{"status":"401","schemes":"bearer","scope":"mail"}',
    ])
  })
})

test('what nobody could check ends at once, and is no bad token', async () => {
  const authenticator: Authenticator = { verifyToken: async () => ({ outcome: 'unavailable', cause: 'down' }) }
  expect(await endOf('OAUTHBEARER', to(authenticator), 'n,a=ann,\x01auth=Bearer right\x01\x01')).toEqual({
    outcome: 'unavailable',
    username: 'ann',
    cause: 'down',
  })
})

test('without hints there are none', async () => {
  const authenticator: Authenticator = { verifyToken: async () => ({ outcome: 'denied' }) }
  const { challenges } = await exchange('OAUTHBEARER', to(authenticator), 'n,,\x01auth=Bearer wrong\x01\x01')
  expect(challenges).toEqual(['{"status":"invalid_token"}'])
})

test('a check that was lost since it was offered is a no', async () => {
  const authenticator: Authenticator = { verifyToken: async () => ({ outcome: 'denied' }) }
  const context = to(authenticator)
  const { challenges } = await exchange('XOAUTH2', context, 'user=ann\x01auth=Bearer x\x01\x01')
  authenticator.verifyToken = undefined
  expect(challenges).toHaveLength(1)
  expect(offeredMechanisms(context)).toEqual([])
})

test('no message makes it throw, and none that is made up signs in', async () => {
  const part = fc.constantFrom('n', 'y', ',', 'a=', 'user=', '\x01', 'auth=Bearer ', 'x', '=', ' ', '\0', '\u00e4')
  const message = fc.oneof(
    fc.string(),
    fc.array(part).map((parts) => parts.join('')),
  )
  await fc.assert(
    fc.asyncProperty(fc.constantFrom('OAUTHBEARER', 'XOAUTH2'), message, async (mechanism, text) => {
      const { end } = await exchange(mechanism, to(), text)
      expect(end?.outcome).not.toBe('granted')
    }),
  )
})
