import { setImmediate as nextTurn } from 'node:timers/promises'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  beginSasl,
  chooseSasl,
  decoyScramKeys,
  deriveScramKeys,
  limits,
  offeredMechanisms,
  prepareScramPassword,
  secret,
  type Authenticator,
  type ChannelSecurity,
  type ScramKeys,
} from '../../src/index.ts'
import { SaslExchange } from '../../src/sasl/exchange.ts'
import { ScramClient } from '../../src/sasl/scram-client.ts'
import {
  parseClientFinal,
  parseClientFirst,
  parseServerFinal,
  parseServerFirst,
} from '../../src/sasl/scram-messages.ts'
import { scram } from '../../src/sasl/scram.ts'
import { connectionOf, contextOf, tls } from './signing-in.ts'

/** RFC 7677 section 3. */
const example = {
  username: 'user',
  password: 'pencil',
  clientFirst: 'n,,n=user,r=rOprNGfwEbeRWgbNEkqO',
  serverNonce: '%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0',
  serverFirst: 'r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096',
  clientFinal:
    'c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=',
  serverFinal: 'v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=',
}

const keys = await deriveScramKeys(example.password, {
  salt: Buffer.from('W22ZaJ0SNY7soEsUEjb6gQ==', 'base64'),
  iterations: 4096,
})
const exporter = Buffer.from('the name of a channel, 32 octets')
const bound = { ...tls, tlsExporter: () => exporter }
const granted = {
  outcome: 'granted',
  username: 'user',
  principal: { account: 'user@example.org', username: 'user' },
}
const denied = { outcome: 'denied', username: 'user', actsAsOther: false }
const malformed = { outcome: 'malformed', username: '', fault: 'message' }

/** Knows `user`, and says nothing of others. */
class Keys implements Authenticator {
  async scramKeys({
    username,
    actAs,
  }: {
    readonly username: string
    readonly actAs?: string
  }): ReturnType<NonNullable<Authenticator['scramKeys']>> {
    if (username !== 'user' || actAs !== undefined) return { outcome: 'unknown' }
    return { outcome: 'found', keys, principal: { account: 'user@example.org', username } }
  }
}

const encode = (text: string): string => Buffer.from(text).toString('base64')
const decode = (text: string): string => Buffer.from(text, 'base64').toString()

function serverOf(security: ChannelSecurity = tls, isPlus = false, authenticator: Authenticator = new Keys()) {
  const context = contextOf({ authenticator, security })
  return new SaslExchange(isPlus ? 'SCRAM-SHA-256-PLUS' : 'SCRAM-SHA-256', scram(context, isPlus, example.serverNonce))
}

/** Both sides of an exchange; the end, as the server has it, and what the client thinks of the server. */
async function converse(
  server: SaslExchange,
  client: {
    readonly initial: string | undefined
    answer(challenge: string): Promise<{ ok: boolean; response?: string }>
  },
) {
  let step = await server.start(client.initial)
  while (step.next === 'challenge') {
    const answer = await client.answer(step.challenge)
    if (!answer.ok) return answer
    step = await server.answer(answer.response ?? '')
  }
  return step.end
}

describe('the example of RFC 7677 section 3', () => {
  test('the server', async () => {
    const server = serverOf()
    expect(await server.start(encode(example.clientFirst))).toEqual({
      next: 'challenge',
      challenge: encode(example.serverFirst),
    })
    expect(await server.answer(encode(example.clientFinal))).toEqual({
      next: 'challenge',
      challenge: encode(example.serverFinal),
    })
    expect(await server.answer('')).toEqual({ next: 'end', end: granted })
  })

  test('the client', async () => {
    const client = new ScramClient(example.username, secret(example.password), { flag: 'n' }, 'rOprNGfwEbeRWgbNEkqO')
    expect(client.initial).toBe(example.clientFirst)
    expect(await client.answer(Buffer.from(example.serverFirst))).toBe(example.clientFinal)
    expect(client.isComplete).toBe(false)
    expect(await client.answer(Buffer.from(example.serverFinal))).toBe('')
    expect(client.isComplete).toBe(true)
  })
})

describe('what is offered', () => {
  const authenticator = new Keys()

  test('-PLUS only where TLS 1.3 ends here', () => {
    expect(offeredMechanisms({ authenticator, connection: connectionOf(bound) })).toEqual([
      'SCRAM-SHA-256-PLUS',
      'SCRAM-SHA-256',
    ])
    expect(offeredMechanisms({ authenticator, connection: connectionOf(tls) })).toEqual(['SCRAM-SHA-256'])
    expect(offeredMechanisms({ authenticator, connection: connectionOf({ kind: 'cleartext' }) })).toEqual([
      'SCRAM-SHA-256',
    ])
    expect(beginSasl('SCRAM-SHA-256-PLUS', contextOf({ authenticator }))).toBeUndefined()
  })

  test('nonces are new each time', async () => {
    const first = await beginSasl('SCRAM-SHA-256', contextOf({ authenticator }))?.start(encode(example.clientFirst))
    const second = await beginSasl('SCRAM-SHA-256', contextOf({ authenticator }))?.start(encode(example.clientFirst))
    expect(first?.next).toBe('challenge')
    expect(first).not.toEqual(second)
  })

  test('without an initial response the challenge is empty', async () => {
    const begun = beginSasl('SCRAM-SHA-256', contextOf({ authenticator }))
    expect(await begun?.start(undefined)).toEqual({ next: 'challenge', challenge: '' })
    expect(await begun?.answer(encode(example.clientFirst))).toMatchObject({ next: 'challenge' })
  })
})

const clientWith = (flag: 'n' | 'y' | 'p=tls-exporter', data?: Buffer): ScramClient =>
  new ScramClient('user', secret('pencil'), data === undefined ? { flag } : { flag, data })
const textual = (of: ScramClient) => ({
  initial: encode(of.initial),
  answer: async (challenge: string) => {
    const response = await of.answer(Buffer.from(challenge, 'base64'))
    return typeof response === 'string' ? { ok: true, response: encode(response) } : { ok: false }
  },
})

describe('channel binding (RFC 5802 section 6, RFC 9266)', () => {
  test.each<[string, SaslExchange, ScramClient, object]>([
    ['-PLUS, bound', serverOf(bound, true), clientWith('p=tls-exporter', exporter), granted],
    ['-PLUS, bound to another channel', serverOf(bound, true), clientWith('p=tls-exporter', Buffer.alloc(32)), denied],
    ['-PLUS, bound to nothing', serverOf(bound, true), clientWith('p=tls-exporter'), denied],
    ['-PLUS without binding', serverOf(bound, true), clientWith('n'), denied],
    ['-PLUS with "y"', serverOf(bound, true), clientWith('y'), denied],
    ['bound, and not -PLUS', serverOf(bound), clientWith('p=tls-exporter', exporter), denied],
    [
      '-PLUS, on a channel that is gone',
      serverOf({ ...tls, tlsExporter: () => undefined }, true),
      clientWith('p=tls-exporter'),
      denied,
    ],
    ['a client that cannot bind', serverOf(bound), clientWith('n'), granted],
    ['a downgrade: "y" where -PLUS was offered', serverOf(bound), clientWith('y'), denied],
    ['"y" where -PLUS was not offered', serverOf(tls), clientWith('y'), granted],
  ])('%s', async (_, server, by, end) => {
    expect(await converse(server, textual(by))).toEqual(end)
  })

  test('another type of binding than is offered', async () => {
    const server = serverOf(bound, true)
    const step = await server.start(encode('p=tls-unique,,n=user,r=abc'))
    expect(step).toMatchObject({ next: 'challenge' })
    const final = `c=${encode('p=tls-unique,,')},r=abc${example.serverNonce},p=${Buffer.alloc(32).toString('base64')}`
    expect(await server.answer(encode(final))).toEqual({ next: 'end', end: denied })
  })
})

describe('what goes wrong, as the server sees it', () => {
  const final = (change: (text: string) => string): string => change(example.clientFinal)

  test.each<[string, string, object]>([
    ['a wrong proof', final((text) => text.replace('p=d', 'p=e')), denied],
    ['a proof that is too short', final((text) => text.replace(/p=.*/, 'p=AAAA')), denied],
    ['another nonce', final((text) => text.replace('k0,p', 'k1,p')), denied],
    ['another header', final((text) => text.replace('biws', encode('y,,'))), denied],
    ['no proof', final((text) => text.replace(/,p=.*/, '')), malformed],
    ['a proof that is no base64', final((text) => text.replace(/p=.*/, 'p=A')), malformed],
    ['a binding that is no base64', final((text) => text.replace('biws', 'b')), malformed],
    ['nothing', '', malformed],
    ['the first message again', example.clientFirst, malformed],
    ['AU-05: 100,000 bytes', `${example.clientFinal},x=${'y'.repeat(9000)}`, malformed],
  ])('%s', async (_, message, end) => {
    const server = serverOf()
    await server.start(encode(example.clientFirst))
    expect(await server.answer(encode(message))).toEqual({ next: 'end', end })
  })

  test.each([
    ['no header', 'n=user,r=abc'],
    ['no name', 'n,,n=,r=abc'],
    ['no nonce', 'n,,n=user,r='],
    ['a comma in the nonce', 'n,,n=user,r=a,b'],
    ['a nonce that is not printable', 'n,,n=user,r=a\x07'],
    ['an escape that is none', 'n,,n=us=er,r=abc'],
    ['an authorization identity with one', 'n,a=us=er,n=user,r=abc'],
    ['a line end in the name', 'n,,n=us\ner,r=abc'],
    ['a NUL in the name', 'n,,n=us\0er,r=abc'],
    ['an extension that must be understood', 'n,,m=x,n=user,r=abc'],
    ['an unknown flag', 'x,,n=user,r=abc'],
    ['nothing', ''],
    ['AU-05: 100,000 bytes', `n,,n=${'u'.repeat(9000)},r=abc`],
  ])('%s in the first message', async (_, message) => {
    expect(await serverOf().start(encode(message) || '=')).toEqual({ next: 'end', end: malformed })
  })

  test('AU-08: what is no UTF-8', async () => {
    const message = Buffer.concat([Buffer.from('n,,n='), Buffer.of(0xff), Buffer.from(',r=abc')])
    expect(await serverOf().start(message.toString('base64'))).toEqual({ next: 'end', end: malformed })
  })

  test('a last word that should be none', async () => {
    const server = serverOf()
    await server.start(encode(example.clientFirst))
    await server.answer(encode(example.clientFinal))
    expect(await server.answer('AQ==')).toEqual({ next: 'end', end: malformed })
  })

  test('a client that cancels before it believes the server is not signed in', async () => {
    const server = serverOf()
    await server.start(encode(example.clientFirst))
    await server.answer(encode(example.clientFinal))
    expect(await server.answer('*')).toEqual({ next: 'end', end: { outcome: 'cancelled', username: '' } })
  })

  test('no message makes a parser throw', () => {
    const attribute = fc.tuple(fc.constantFrom('n', 'r', 'c', 'p', 's', 'i', 'v', 'e', 'm', 'a', 'y'), fc.string())
    const message = fc.oneof(
      fc.uint8Array().map((bytes) => Buffer.from(bytes)),
      fc.array(attribute).map((all) => Buffer.from(all.map(([name, value]) => `${name}=${value}`).join(','))),
      fc.string().map((text) => Buffer.from(`n,,n=${text},r=${text}`)),
    )
    fc.assert(
      fc.property(message, (bytes) => {
        for (const parse of [parseClientFirst, parseClientFinal, parseServerFirst, parseServerFinal]) {
          expect(() => parse(bytes)).not.toThrow()
        }
      }),
    )
  })
})

describe('names', () => {
  test.each(['a,b', 'a=b', '=2C', 'ann@example.org', '\u00e4nn', ' '])('%j comes through', (name) => {
    const client = new ScramClient(name, secret('x'), { flag: 'n' })
    expect(parseClientFirst(Buffer.from(client.initial))?.username).toBe(name)
  })

  test('extensions that may be skipped are', () => {
    expect(parseClientFirst(Buffer.from('n,,n=user,r=abc,x=y,z=1'))).toMatchObject({ username: 'user', nonce: 'abc' })
    expect(parseServerFirst(Buffer.from('r=abc,s=AAAA,i=4096,x=y'))).toMatchObject({ iterations: 4096 })
  })

  test('AU-06: acting as another', async () => {
    const server = serverOf()
    const step = await server.start(encode('n,a=root,n=user,r=abc'))
    expect(step.next === 'challenge' && decode(step.challenge)).toMatch(/^r=abc/)
    const final = `c=${encode('n,a=root,')},r=abc${example.serverNonce},p=${Buffer.alloc(32).toString('base64')}`
    expect(await server.answer(encode(final))).toEqual({ next: 'end', end: { ...denied, actsAsOther: true } })
  })

  test('acting as oneself is acting as nobody else', async () => {
    const first = 'n,a=user,n=user,r=abc'
    expect(parseClientFirst(Buffer.from(first))).toMatchObject({ gs2Header: 'n,a=user,', authorizationId: 'user' })
    expect(await serverOf().start(encode(first))).toMatchObject({ next: 'challenge' })
  })
})

const ask = async (username: string, authenticator: Authenticator = new Keys()) => {
  const server = serverOf(tls, false, authenticator)
  const step = await server.start(encode(`n,,n=${username},r=abc`))
  return { server, first: step.next === 'challenge' ? parseServerFirst(Buffer.from(step.challenge, 'base64')) : step }
}

describe('AU-04: an unknown user', () => {
  test('is asked like any other, with the same salt at each time, and denied in the end', async () => {
    const { first, server } = await ask('nobody')
    expect(first).toMatchObject({ iterations: limits.scramIterations })
    expect((await ask('nobody')).first).toEqual(first)
    expect((await ask('somebody')).first).not.toEqual(first)
    const final = example.clientFinal.replace('rOprNGfwEbeRWgbNEkqO', 'abc')
    expect(await server.answer(encode(final))).toEqual({ next: 'end', end: { ...denied, username: 'nobody' } })
  })

  test('the authenticator may bring the keys, so that all processes of a server have the same', async () => {
    const decoy = decoyScramKeys('nobody', Buffer.from('of the server'), 8192)
    const { first } = await ask('nobody', { scramKeys: async () => ({ outcome: 'unknown', keys: decoy }) })
    expect(first).toMatchObject({ salt: decoy.salt, iterations: 8192 })
  })

  test('decoys differ by name and by secret, and look like keys', () => {
    const one = decoyScramKeys('ann', Buffer.from('a'))
    expect(one).toMatchObject({ iterations: limits.scramIterations })
    expect([one.salt.length, one.storedKey.length, one.serverKey.length]).toEqual([16, 32, 32])
    expect(decoyScramKeys('ann', Buffer.from('a'))).toEqual(one)
    expect(decoyScramKeys('bob', Buffer.from('a')).salt).not.toEqual(one.salt)
    expect(decoyScramKeys('ann', Buffer.from('b')).salt).not.toEqual(one.salt)
  })

  test('one who knows the keys of a decoy is still nobody', async () => {
    const decoy: ScramKeys = keys
    const server = serverOf(tls, false, { scramKeys: async () => ({ outcome: 'unknown', keys: decoy }) })
    await server.start(encode(example.clientFirst))
    expect(await server.answer(encode(example.clientFinal))).toEqual({ next: 'end', end: denied })
  })
})

test('a directory that is down is no wrong password', async () => {
  const server = serverOf(tls, false, { scramKeys: async () => ({ outcome: 'unavailable', cause: 'down' }) })
  expect(await server.start(encode(example.clientFirst))).toEqual({
    next: 'end',
    end: { outcome: 'unavailable', username: 'user', cause: 'down' },
  })
})

test('an authenticator that has lost its keys since they were offered knows nobody', async () => {
  const server = serverOf(tls, false, {})
  expect(await server.start(encode(example.clientFirst))).toMatchObject({ next: 'challenge' })
  expect(await server.answer(encode(example.clientFinal))).toEqual({ next: 'end', end: denied })
})

test('a policy is asked before keys are looked up', async () => {
  const refusal = { verdict: 'refuse', reason: 'listed' } as const
  let lookups = 0
  const authenticator: Authenticator = {
    scramKeys: async () => {
      lookups++
      return { outcome: 'unknown' }
    },
  }
  const context = contextOf({ authenticator, policies: [{ name: 'test', onAuthenticate: () => refusal }] })
  expect(await beginSasl('SCRAM-SHA-256', context)?.start(encode(example.clientFirst))).toEqual({
    next: 'end',
    end: { outcome: 'refused', username: 'user', decision: refusal, by: 'test' },
  })
  expect(lookups).toBe(0)
})

describe('a policy that changes its mind while the exchange is under way', () => {
  const decision = { verdict: 'defer', reason: 'banned' } as const
  const refused = { next: 'end', end: { outcome: 'refused', username: 'user', decision, by: 'ban' } }

  /** An exchange up to the client's proof, and whether the client is banned. */
  async function begun() {
    const ban = { isSet: false }
    const onAuthenticate = () => (ban.isSet ? decision : ({ verdict: 'pass' } as const))
    const context = contextOf({ authenticator: new Keys(), policies: [{ name: 'ban', onAuthenticate }] })
    const server = new SaslExchange('SCRAM-SHA-256', scram(context, false, example.serverNonce))
    await server.start(encode(example.clientFirst))
    return { server, ban }
  }

  test.each([
    ['the right proof', example.clientFinal],
    ['a wrong proof', example.clientFinal.replace('p=d', 'p=e')],
  ])('%s behind a ban is not told whether it was right', async (_, final) => {
    const { server, ban } = await begun()
    ban.isSet = true
    expect(await server.answer(encode(final))).toEqual(refused)
  })

  test('a ban that comes between the proof and the last word keeps the client out', async () => {
    const { server, ban } = await begun()
    expect(await server.answer(encode(example.clientFinal))).toMatchObject({ next: 'challenge' })
    ban.isSet = true
    expect(await server.answer('')).toEqual(refused)
  })
})

const fresh = (password = 'pencil'): ScramClient =>
  new ScramClient('user', secret(password), { flag: 'n' }, 'rOprNGfwEbeRWgbNEkqO')

describe('the client', () => {
  test.each([
    ['nothing', '', 'a first message that is none'],
    ['a salt that is no base64', 'r=rOprNGfwEbeRWgbNEkqOx,s=A,i=4096', 'a first message that is none'],
    ['a nonce that is ours alone', 'r=rOprNGfwEbeRWgbNEkqO,s=AAAA,i=4096', 'a nonce that is not based on ours'],
    ['the nonce of somebody else', 'r=somebody,s=AAAA,i=4096', 'a nonce that is not based on ours'],
    ['few iterations', 'r=rOprNGfwEbeRWgbNEkqOx,s=AAAA,i=4095', '4095 iterations are asked for'],
    ['too many', 'r=rOprNGfwEbeRWgbNEkqOx,s=AAAA,i=1000001', '1000001 iterations are asked for'],
  ])('does not go on behind %s', async (_, message, problem) => {
    expect(await fresh().answer(Buffer.from(message))).toEqual({ problem })
  })

  test('does not use a password that SASLprep has nothing left of', async () => {
    const problem = 'our password cannot be used with it'
    expect(await fresh('\u00ad').answer(Buffer.from(example.serverFirst))).toEqual({ problem })
  })

  test.each([
    ['nothing', '', 'a last message that is none'],
    ['what is no base64', 'v=A', 'a last message that is none'],
    [
      'the signature of somebody else',
      `v=${Buffer.alloc(32).toString('base64')}`,
      'the server does not know the password',
    ],
    ['a short signature', 'v=AAAA', 'the server does not know the password'],
  ])('does not believe a server whose last message is %s', async (_, message, problem) => {
    const client = fresh()
    await client.answer(Buffer.from(example.serverFirst))
    expect(await client.answer(Buffer.from(message))).toEqual({ problem })
    expect(client.isComplete).toBe(false)
    expect(await client.answer(Buffer.from(message))).toEqual({ problem: 'a challenge too many' })
  })

  test('acknowledges an error, so that the server can end the exchange in the words of its protocol', async () => {
    const client = fresh()
    await client.answer(Buffer.from(example.serverFirst))
    expect(await client.answer(Buffer.from('e=invalid-proof'))).toBe('')
    expect(client.isComplete).toBe(false)
    expect(await client.answer(Buffer.from(example.serverFinal))).toEqual({ problem: 'a challenge too many' })
  })

  test('does not believe a signature before its own proof', async () => {
    const client = fresh()
    await client.answer(Buffer.from('r=somebody,s=AAAA,i=4096'))
    expect(await client.answer(Buffer.from(example.serverFinal))).toEqual({ problem: 'a last message that is none' })
  })
})

describe('keys', () => {
  test('have a salt of their own, and the iterations of the limits', async () => {
    const [one, other] = await Promise.all([deriveScramKeys('pencil'), deriveScramKeys('pencil')])
    expect(one.iterations).toBe(limits.scramIterations)
    expect(one.salt).not.toEqual(other.salt)
    expect(one.storedKey).not.toEqual(other.storedKey)
  })

  test('are derived off the event loop', async () => {
    const isDone = Symbol('done')
    const derived = deriveScramKeys('pencil', { iterations: 400_000 }).then(() => isDone)
    let turns = 0
    while ((await Promise.race([derived, nextTurn()])) !== isDone) turns++
    expect(turns).toBeGreaterThan(10)
  })
})

describe('passwords (RFC 4013)', () => {
  test.each([
    ['ASCII stays', 'pencil', 'pencil'],
    ['a soft hyphen goes (RFC 4013 section 3)', 'I\u00adX', 'IX'],
    ['case stays (RFC 4013 section 3)', 'USER', 'USER'],
    ['a feminine ordinal is an a (RFC 4013 section 3)', '\u00aa', 'a'],
    ['a Roman numeral is letters (RFC 4013 section 3)', '\u2168', 'IX'],
    ['spaces of other scripts', 'a\u00a0b\u3000c', 'a b c'],
    ['letters and their marks become one', 'e\u0301', '\u00e9'],
    ['nothing is left', '\u00ad\u200d\ufeff', undefined],
    ['half a surrogate pair', '\ud800', undefined],
  ])('%s', (_, password, prepared) => {
    expect(prepareScramPassword(password)).toBe(prepared)
  })
})

test('client and server agree on any name and password', async () => {
  const text = fc.string({ minLength: 1, unit: 'grapheme' }).filter((each) => !/[\0\r\n]/.test(each))
  await fc.assert(
    fc.asyncProperty(text, text, fc.boolean(), async (username, password, isPlus) => {
      const prepared = prepareScramPassword(password)
      fc.pre(prepared !== undefined)
      const known = await deriveScramKeys(prepared, { iterations: 4096 })
      const principal = { account: username, username }
      const authenticator: Authenticator = { scramKeys: async () => ({ outcome: 'found', keys: known, principal }) }
      const mechanism = isPlus ? 'SCRAM-SHA-256-PLUS' : 'SCRAM-SHA-256'
      const server = beginSasl(mechanism, contextOf({ authenticator, security: isPlus ? bound : tls }))
      const client = chooseSasl([mechanism], { username, password: secret(password) }, isPlus ? exporter : undefined)
      if (server === undefined || client === undefined) throw new Error('not offered')
      expect(await converse(server, client)).toEqual({ outcome: 'granted', username, principal })
      expect(client.isComplete).toBe(true)
    }),
    { numRuns: 30 },
  )
})
