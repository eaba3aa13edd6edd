// Several transactions with backends that play a script: which of them share a connection, and what becomes of it.
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { IdleConnections, type RelayOptions } from '../../src/index.ts'
import { Client } from './relaying.ts'
import { ScriptedBackend } from './scripted-backend.ts'

const greeted = `
  S: 220 mx1.example
  C: EHLO gate.example
  S: 250-mx1.example
  S: 250-XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE
  S: 250 PIPELINING
`
const envelope = `
  C: MAIL FROM:<bob@example.com>
  C: RCPT TO:<ann@example.org>
  S: 250 2.1.0 OK
  S: 250 2.1.5 OK
`
const message = `
  C: DATA
  S: 354 go on
  C: Subject: hello
  C:
  C: world
  C: .
`
const taken = `${envelope}${message}
  S: 250 2.0.0 OK
`
const quit = `
  C: QUIT
  S: 221 bye
`

let idle: IdleConnections
beforeEach(() => {
  idle = new IdleConnections()
})
afterEach(() => idle.close())

function client(backend: ScriptedBackend, options: Partial<RelayOptions> = {}): Client {
  return new Client([backend], { idle, ...options })
}

/** A connection is kept when it can be, and nobody waits for that. */
async function kept(count = 1): Promise<void> {
  await vi.waitFor(() => expect(idle.size).toBe(count), { timeout: 30_000, interval: 5 })
}

describe('BK-11: a connection that is kept', () => {
  test('takes one message after the other, without RSET between them', async () => {
    const backend = await ScriptedBackend.start(`${greeted}${taken}${taken}${taken}${quit}`)
    for (let round = 0; round < 3; round++) {
      expect(await client(backend).send()).toBe('250 2.0.0 OK')
      await kept()
    }
    idle.close()
    await backend.ended()
    expect([backend.connections, backend.surprises]).toEqual([1, []])
  })

  test('counts as in use only while it is', async () => {
    const backend = await ScriptedBackend.start(`${greeted}${taken}${taken}${quit}`)
    const told: string[] = []
    const observer = {
      connecting: () => told.push('connecting'),
      opened: () => told.push('opened'),
      reused: () => told.push('reused'),
      gone: () => told.push('gone'),
    }
    await client(backend, { observer }).send()
    await kept()
    await client(backend, { observer }).send()
    await kept()
    idle.close()
    await backend.ended()
    expect(told).toEqual(['connecting', 'opened', 'gone', 'connecting', 'reused', 'gone'])
  })

  test.each([
    [
      'a message that was refused',
      `${envelope}${message}
      S: 550 5.7.1 spam`,
      async (one: Client) => {
        await one.send()
        await one.delivery.abort()
      },
    ],
    [
      'MAIL that was refused',
      `
      C: MAIL FROM:<bob@example.com>
      C: RCPT TO:<ann@example.org>
      S: 550 5.7.1 not you
      S: 503 5.5.1 MAIL first
      C: RSET
      S: 250 OK`,
      async (one: Client) => {
        await one.send()
        await one.delivery.abort()
      },
    ],
    [
      'a client that left before its message',
      `${envelope}
      C: RSET
      S: 250 OK`,
      async (one: Client) => {
        await one.recipient()
        await one.delivery.abort()
      },
    ],
  ])('is fit for another behind %s', async (_, script, act) => {
    const backend = await ScriptedBackend.start(`${greeted}${script}${taken}${quit}`)
    await act(client(backend))
    await kept()
    expect(await client(backend).send()).toBe('250 2.0.0 OK')
    await kept()
    idle.close()
    await backend.ended()
    expect([backend.connections, backend.surprises]).toEqual([1, []])
  })

  test('is told XFORWARD before each message', async () => {
    const told = 'C: XFORWARD NAME=*\nS: 250 OK\n'
    const backend = await ScriptedBackend.start(`${greeted}${told}${taken}${told}${taken}${quit}`)
    for (let round = 0; round < 2; round++) {
      expect(await client(backend, { announcement: 'xforward' }).send()).toBe('250 2.0.0 OK')
      await kept()
    }
    idle.close()
    await backend.ended()
    expect([backend.connections, backend.surprises]).toEqual([1, []])
  })

  test('two at a time need two', async () => {
    const backend = await ScriptedBackend.start(`${greeted}${taken}${quit}`)
    const clients = [client(backend), client(backend)]
    for (const one of clients) await one.recipient()
    for (const one of clients) await one.message()
    await kept(2)
    idle.close()
    await backend.ended()
    expect([backend.connections, backend.surprises]).toEqual([2, []])
  })
})

describe('BK-11: a connection is not kept', () => {
  test.each<[string, Partial<RelayOptions>]>([
    ['that announced a client by PROXY', { announcement: 'proxy-v2' }],
    ['on which a user may have signed in', { credentials: () => undefined }],
    ['where nobody asks for it', { idle: undefined as never }],
  ])('%s', async (_, options) => {
    // A PROXY header stands before the first line.
    const backend = await ScriptedBackend.start(`${greeted.replace('C: EHLO', 'D: EHLO')}${taken}${quit}`)
    await client(backend, options).send()
    await client(backend, options).send()
    await backend.ended()
    expect([backend.connections, idle.size]).toEqual([2, 0])
  })

  test('on which a message was cut off', async () => {
    const backend = await ScriptedBackend.start(`${greeted}${envelope}
      C: DATA
      S: 354 go on
      C: half`)
    const one = client(backend)
    await one.recipient()
    await one.delivery.write(Buffer.from('half\r\n'))
    await one.delivery.abort()
    await backend.ended()
    expect([idle.size, backend.surprises]).toEqual([0, []])
  })

  test('that will not forget what was begun', async () => {
    const backend = await ScriptedBackend.start(`${greeted}${envelope}
      C: RSET
      S: 502 no
      ${quit}`)
    const one = client(backend)
    await one.recipient()
    await one.delivery.abort()
    await backend.ended()
    expect([idle.size, backend.surprises]).toEqual([0, []])
  })

  test.each<[string, ConstructorParameters<typeof IdleConnections>[0]]>([
    ['for longer than it may', { idlePatienceMs: 1 }],
    ['when it is old', { maxConnectionAgeMs: 1 }],
    ['when it has carried enough', { maxTransactions: 1 }],
    ['when there are enough', { maxIdleConnections: 0 }],
  ])('%s', async (_, limits) => {
    idle = new IdleConnections(limits)
    const backend = await ScriptedBackend.start(`${greeted}${taken}${quit}`)
    await client(backend).send()
    await backend.ended()
    expect([idle.size, backend.surprises]).toEqual([0, []])
  })

  test('when the backend has refused and refused', async () => {
    idle = new IdleConnections({ maxRefusals: 3 })
    const refused = `
      C: MAIL FROM:<bob@example.com>
      C: RCPT TO:<ann@example.org>
      S: 250 2.1.0 OK
      S: 550 5.1.1 unknown
      C: RSET
      S: 250 OK`
    // A message that was taken is forgiveness, as in Postfix.
    const rounds = [refused, refused, taken, refused, refused, refused]
    const backend = await ScriptedBackend.start(`${greeted}${rounds.join('')}${quit}`)
    for (const round of rounds.keys()) {
      const one = client(backend)
      await one.send()
      await one.delivery.abort()
      if (round < rounds.length - 1) await kept()
    }
    await backend.ended()
    expect([backend.connections, idle.size, backend.surprises]).toEqual([1, 0, []])
  })

  test('when others are in more need of the room', async () => {
    idle = new IdleConnections({ maxIdleOfAll: 1 })
    const [one, other] = [
      await ScriptedBackend.start(`${greeted}${taken}${quit}`),
      await ScriptedBackend.start(`${greeted}${taken}${quit}`),
    ]
    await client(one).send()
    await kept()
    await client(other).send()
    await one.ended()
    expect(idle.size).toBe(1)
  })

  test('for a user who signs in at the same backend it makes room', async () => {
    const backend = await ScriptedBackend.start(`${greeted}${taken}${quit}`)
    await client(backend).send()
    await kept()
    await client(backend, { credentials: () => undefined }).send()
    await backend.ended()
    expect([backend.connections, idle.size, backend.surprises]).toEqual([2, 0, []])
  })
})

describe('BK-11: a connection that is dead when it is used again', () => {
  test.each([
    ['by 421', 'S: 421 4.4.2 timeout\n!close'],
    ['without a word', '!close'],
    ['by a reset', '!reset'],
    ['with a reply that nobody asked for', 'S: 250 OK'],
  ])('ended meanwhile %s, it is forgotten', async (_, end) => {
    const server = await ScriptedBackend.start(`${greeted}${taken}${end}`, `${greeted}${taken}${quit}`)
    await client(server).send()
    await kept(0)
    const second = client(server)
    expect(await second.send()).toBe('250 2.0.0 OK')
    expect(second.codes).toEqual([undefined])
    expect(server.connections).toBe(2)
  })

  test.each([
    ['hangs up on MAIL', 'D: MAIL\n!close'],
    ['resets it on MAIL', 'D: MAIL\n!reset'],
    ['says 421 to MAIL', 'D: MAIL\nD: RCPT\nS: 421 4.7.0 too many messages here\n!close'],
    ['says 451 to MAIL', 'D: MAIL\nD: RCPT\nS: 451 4.7.0 too many messages here\nS: 503 5.5.1 MAIL first'],
    ['says 503 to MAIL', 'D: MAIL\nD: RCPT\nS: 503 5.5.1 nested\nS: 250 OK'],
    ['hangs up between the replies', 'D: MAIL\nD: RCPT\nS: 250 OK\n!close'],
  ])('where the backend %s, the message goes by a new one, and the backend is not blamed', async (_, end) => {
    const backend = await ScriptedBackend.start(`${greeted}${taken}${end}`, `${greeted}${taken}${quit}`)
    await client(backend).send()
    await kept()
    const second = client(backend)
    expect(await second.send()).toBe('250 2.0.0 OK')
    expect(second.codes).toEqual([undefined])
    expect(backend.connections).toBe(2)
  })

  test('where the backend is silent, as a machine that lost its power, there is time left for another', async () => {
    const backend = await ScriptedBackend.start(`${greeted}${taken}D: MAIL\nD: RCPT`, `${greeted}${taken}${quit}`)
    await client(backend).send()
    await kept()
    const second = client(backend, { limits: { resumedPatienceMs: 50 } })
    expect(await second.send()).toBe('250 2.0.0 OK')
    expect(second.codes).toEqual([undefined])
    expect(backend.connections).toBe(2)
  })

  test('the others that were kept are left as well: what ended one has hardly spared them', async () => {
    const dying = `${greeted}${taken}D: MAIL\n!close`
    const backend = await ScriptedBackend.start(dying, `${greeted}${taken}${quit}`)
    const clients = [client(backend), client(backend)]
    for (const one of clients) await one.recipient()
    // The one that dies is kept last, and so used first.
    await clients[1]?.message()
    await kept(1)
    await clients[0]?.message()
    await kept(2)
    expect(await client(backend).send()).toBe('250 2.0.0 OK')
    await kept(1)
    expect(backend.connections).toBe(3)
  })

  test('a refusal of the recipient is the answer: it says nothing of the connection', async () => {
    const backend = await ScriptedBackend.start(`${greeted}${taken}
      C: MAIL FROM:<bob@example.com>
      C: RCPT TO:<ann@example.org>
      S: 250 2.1.0 OK
      S: 450 4.2.1 busy
      C: RSET
      S: 250 OK
      ${quit}`)
    await client(backend).send()
    await kept()
    const second = client(backend)
    expect(await second.recipient()).toBe('450 4.2.1 busy')
    await second.delivery.abort()
    await kept()
    idle.close()
    await backend.ended()
    expect([backend.connections, backend.surprises]).toEqual([1, []])
  })

  test('lost behind the message it is in doubt, and nothing is sent twice', async () => {
    const backend = await ScriptedBackend.start(`${greeted}${taken}${envelope}${message}
      !close`)
    await client(backend).send()
    await kept()
    const second = client(backend)
    expect(await second.send()).toBe('451 4.4.2 The server for this recipient hung up, try again later')
    expect(second.codes).toEqual(['SMTP_UPSTREAM_IN_DOUBT'])
    expect(backend.connections).toBe(1)
  })

  test('and there is no other: the reply says what became of the new one', async () => {
    const backend = await ScriptedBackend.start(`${greeted}${taken}D: MAIL\n!close`, '!close')
    await client(backend).send()
    await kept()
    const second = client(backend)
    expect(await second.send()).toMatch(/^451 4\.4\.2 /)
    expect([second.codes, backend.connections]).toEqual([['SMTP_UPSTREAM_LOST'], 2])
  })
})
