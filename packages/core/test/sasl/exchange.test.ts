import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  beginSasl,
  limits,
  offeredMechanisms,
  type Authenticator,
  type Decision,
  type SaslEnd,
} from '../../src/index.ts'
import { decodeBase64 } from '../../src/sasl/text.ts'
import { connectionOf, contextOf, endOf, exchange, Passwords, tls } from './signing-in.ts'

const granted = { outcome: 'granted', username: 'ann', principal: { account: 'ann@example.org', username: 'ann' } }
const denied = (username: string, actsAsOther = false) => ({ outcome: 'denied', username, actsAsOther })
const malformed = { outcome: 'malformed', username: '', fault: 'message' }
const withCertificate = { ...tls, clientCommonName: 'ann' }

const says = (decision: Decision) => ({ name: 'test', onAuthenticate: () => decision })

describe('base64 (RFC 4648 section 4)', () => {
  test.each([
    ['AU-05: letters out of range', 'a*b='],
    ['AU-05: no padding', 'YQ'],
    ['AU-05: padding inside', 'YQ==YQ=='],
    ['spare bits set', 'YR=='],
    ['white space', 'YW Jj'],
    ['URL alphabet', '_-__'],
    ['nothing but padding', '===='],
  ])('%s is none', (_, text) => expect(decodeBase64(text)).toBeUndefined())

  test('what is encoded is decoded', () => {
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => {
        expect(decodeBase64(Buffer.from(bytes).toString('base64'))).toEqual(Buffer.from(bytes))
      }),
    )
  })
})

describe('mechanisms', () => {
  test('what is offered is what the authenticator can check and the connection bears', () => {
    const connection = connectionOf()
    expect(offeredMechanisms({ authenticator: new Passwords(), connection })).toEqual(['PLAIN', 'LOGIN'])
    expect(offeredMechanisms({ authenticator: new Passwords(), connection: connectionOf(withCertificate) })).toEqual([
      'EXTERNAL',
      'PLAIN',
      'LOGIN',
    ])
    expect(offeredMechanisms({ authenticator: {}, connection: connectionOf(withCertificate) })).toEqual([])
    const inTheClear = connectionOf({ kind: 'cleartext' })
    expect(offeredMechanisms({ authenticator: new Passwords(), connection: inTheClear })).toEqual(['PLAIN', 'LOGIN'])
  })

  test.each(['EXTERNAL', 'CRAM-MD5', '__proto__', 'constructor', '', 'PLAIN '])('%s is not offered', (name) => {
    expect(beginSasl(name, contextOf())).toBeUndefined()
  })

  test('names are taken in any case', () => {
    expect(beginSasl('pLaIn', contextOf())?.mechanism).toBe('PLAIN')
  })
})

describe('the exchange', () => {
  test('a mechanism in which the client begins starts with an empty challenge', async () => {
    const begun = beginSasl('PLAIN', contextOf())
    expect(await begun?.start(undefined)).toEqual({ next: 'challenge', challenge: '' })
    expect(await begun?.answer('AGFubgBzZWNyZXQ=')).toEqual({ next: 'end', end: granted })
  })

  test.each<[string, string, SaslEnd]>([
    ['an asterisk cancels', '*', { outcome: 'cancelled', username: '' }],
    ['what is no base64', 'a*b=', { outcome: 'malformed', username: '', fault: 'base64' }],
    ['an empty line is an empty message', '', { outcome: 'malformed', username: '', fault: 'message' }],
    ['an equals sign is too', '=', { outcome: 'malformed', username: '', fault: 'message' }],
  ])('%s', async (_, line, end) => {
    const begun = beginSasl('LOGIN', contextOf())
    await begun?.start(undefined)
    expect(await begun?.answer(line)).toEqual({ next: 'end', end })
  })

  test('an asterisk is no initial response', async () => {
    const step = await beginSasl('PLAIN', contextOf())?.start('*')
    expect(step).toEqual({ next: 'end', end: { outcome: 'malformed', username: '', fault: 'base64' } })
  })

  test('AU-05: a message beyond the bound is malformed, whatever it says', async () => {
    const password = 'p'.repeat(limits.maxSaslMessageBytes)
    const authenticator = new Passwords()
    expect(await endOf('PLAIN', contextOf({ authenticator }), `\0ann\0${password}`)).toEqual(malformed)
    expect(authenticator.asked).toEqual([])
  })

  test('no line makes it throw, and none that is made up signs in', async () => {
    const line = fc.oneof(fc.string(), fc.base64String(), fc.constantFrom('*', '=', ''))
    const names = fc.constantFrom('PLAIN', 'LOGIN', 'EXTERNAL')
    await fc.assert(
      fc.asyncProperty(names, fc.option(line, { nil: undefined }), fc.array(line), async (name, initial, lines) => {
        const outcomes = await outcomesOf(name, initial, lines)
        expect(outcomes).not.toContain('granted')
      }),
    )
  })
})

/** Of an exchange with whatever lines, until it ends. */
async function outcomesOf(name: string, initial: string | undefined, lines: readonly string[]): Promise<string[]> {
  const begun = beginSasl(name, contextOf({ security: { ...tls, clientCommonName: 'eve' } }))
  let step = await begun?.start(initial)
  for (const next of lines) if (step?.next === 'challenge') step = await begun?.answer(next)
  return step?.next === 'end' ? [step.end.outcome] : []
}

describe('policies', () => {
  const refusal = { verdict: 'refuse', reason: 'listed' } as const

  test('the first that does not pass decides, before anything is checked', async () => {
    const authenticator = new Passwords()
    const policies = [
      { name: 'silent' },
      says({ verdict: 'pass' }),
      says(refusal),
      says({ ...refusal, reason: 'rate' }),
    ]
    expect(await endOf('PLAIN', contextOf({ authenticator, policies }), '\0ann\0secret')).toEqual({
      outcome: 'refused',
      username: 'ann',
      decision: refusal,
      by: 'test',
    })
    expect(authenticator.asked).toEqual([])
  })

  test('those that pass let it be checked', async () => {
    const policies = [says({ verdict: 'pass' })]
    expect(await endOf('PLAIN', contextOf({ policies }), '\0ann\0secret')).toEqual(granted)
  })
})

describe('PLAIN (RFC 4616)', () => {
  test.each<[string, string, object]>([
    ['right', '\0ann\0secret', granted],
    ['with itself as authorization identity', 'ann\0ann\0secret', granted],
    ['AU-06: with another one', 'root\0ann\0secret', denied('ann', true)],
    ['wrong', '\0ann\0wrong', denied('ann')],
    ['AU-04: unknown', '\0bob\0secret', denied('bob')],
    ['AU-05: no NUL', 'ann', malformed],
    ['AU-05: one NUL', '\0ann', malformed],
    ['AU-05: three NULs', '\0ann\0x\0y', malformed],
    ['no user', '\0\0secret', malformed],
    ['no password', '\0ann\0', malformed],
    ['nothing', '', malformed],
    ['a line end in a name', '\0ann\r\n\0secret', malformed],
  ])('%s', async (_, message, end) => {
    expect(await endOf('PLAIN', contextOf(), message)).toEqual(end)
  })

  test('AU-08: what is no UTF-8 is malformed', async () => {
    expect(await endOf('PLAIN', contextOf(), Buffer.from([0, 0xff, 0, 0x61]))).toEqual(malformed)
  })

  test('AU-11: a password is taken octet by octet', async () => {
    const authenticator = new Passwords()
    const password = ` ${'p\u00e4'.repeat(500)}e\u0301 `
    await endOf('PLAIN', contextOf({ authenticator }), `act\0ann\0${password}`)
    const [asked] = authenticator.asked
    expect(asked).toMatchObject({ mechanism: 'PLAIN', username: 'ann', actAs: 'act' })
    expect(asked !== undefined && 'password' in asked && asked.password.reveal()).toBe(password)
  })

  test('an authenticator that cannot be asked is no wrong password', async () => {
    const authenticator: Authenticator = { verify: async () => ({ outcome: 'unavailable', cause: 'down' }) }
    const end = { outcome: 'unavailable', username: 'ann', cause: 'down' }
    expect(await endOf('PLAIN', contextOf({ authenticator }), '\0ann\0secret')).toEqual(end)
  })

  test('what an authenticator has lost since it was offered is denied', async () => {
    const authenticator: Authenticator = { verify: async () => ({ outcome: 'unavailable', cause: 'down' }) }
    const begun = beginSasl('PLAIN', contextOf({ authenticator }))
    authenticator.verify = undefined
    expect(await begun?.start('AGFubgBzZWNyZXQ=')).toEqual({ next: 'end', end: denied('ann') })
  })
})

describe('LOGIN', () => {
  test('asks for a name and then for a password', async () => {
    expect(await exchange('LOGIN', contextOf(), 'ann', 'secret')).toEqual({ challenges: ['Password:'], end: granted })
    const begun = beginSasl('LOGIN', contextOf())
    expect(await begun?.start(undefined)).toEqual({ next: 'challenge', challenge: 'VXNlcm5hbWU6' })
  })

  test.each<[string, readonly string[], object]>([
    ['wrong', ['ann', 'wrong'], denied('ann')],
    ['an empty name', [''], malformed],
    ['an empty password', ['ann', ''], malformed],
    ['a NUL in the name', ['a\0b'], malformed],
    ['a NUL in the password', ['ann', 'a\0b'], malformed],
  ])('%s', async (_, messages, end) => {
    expect(await endOf('LOGIN', contextOf(), ...messages)).toEqual(end)
  })

  test('AU-08: what is no UTF-8 is malformed', async () => {
    expect(await endOf('LOGIN', contextOf(), Buffer.from([0xff]))).toEqual(malformed)
  })
})

describe('X3: EXTERNAL (RFC 4422 appendix A)', () => {
  test.each<[string, string, object]>([
    ['without an identity', '', granted],
    ['with that of the certificate', 'ann', granted],
    ['AU-06: with another one', 'joe', denied('ann', true)],
    ['a NUL', 'a\0', malformed],
  ])('%s', async (_, message, end) => {
    expect(await endOf('EXTERNAL', contextOf({ security: withCertificate }), message)).toEqual(end)
  })

  test('AU-08: what is no UTF-8 is malformed', async () => {
    expect(await endOf('EXTERNAL', contextOf({ security: withCertificate }), Buffer.from([0xff]))).toEqual(malformed)
  })

  test('the certificate of nobody', async () => {
    const security = { ...tls, clientCommonName: 'eve' }
    expect(await endOf('EXTERNAL', contextOf({ security }), '')).toEqual(denied('eve'))
  })
})
