// Rates of messages and recipients, and bans after failed logins: over both workers, SMTP and IMAP together. The tests play
// the balancer, and say in its header that TLS ended there, so that logins are taken.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { listener } from '../kit/configuration.ts'
import { Dialogue } from '../kit/dialogue.ts'
import { ann, startGateway, type Account, type Gateway } from '../kit/gateway.ts'
import { heldTogether } from '../kit/held-together.ts'
import { freePorts } from '../kit/ports.ts'
import { ends, sslTlv, v2 } from '../kit/proxy-header.ts'

const ports = await freePorts('admin', 'mx', 'submission', 'imap')
const bob: Account = { name: 'bob@example.org', password: 'a different horse' }
const commandsPerClient = 40
const failuresPerClient = 4
const failuresPerUser = 5
let gateway: Gateway

beforeAll(async () => {
  const tables = [
    '[proxy]\ntrusted-networks = ["127.0.0.1"]',
    listener('mx', { protocol: 'smtp', bind: ports.mx, mode: 'require' }),
    listener('submission', { protocol: 'submission', bind: ports.submission, mode: 'require' }),
    listener('imap', { protocol: 'imap', bind: ports.imap, mode: 'require' }),
    `[smtp]
local-domains = ["example.org"]
max-failed-logins = 100
[policy.rate]
commands-per-client = "${commandsPerClient}/10m"
messages-per-client = "6/10m"
recipients-per-client = "10/10m"
failed-logins-per-client = "${failuresPerClient}/10m"
failed-logins-per-user = "${failuresPerUser}/10m"
[policy.ban]
first = "10m"
[imap]
unauthenticate = false`,
  ]
  gateway = await startGateway({ config: tables.join('\n\n'), adminPort: ports.admin, accounts: [ann, bob] })
})
afterAll(async () => {
  await gateway?.stop()
})

async function connectFor(source: string, port: number): Promise<Dialogue> {
  const connection = await Dialogue.connect(port)
  connection.send(v2({ ...ends, source }, { tlvs: [sslTlv(1, 0, [])] }))
  return connection
}

describe('rates of mail', () => {
  test('the seventh message of a client is deferred, over several connections and workers', async () => {
    const expected = [250, 250, 250, 250, 250, 250, 450, 450]
    const found = await heldTogether(gateway, expected, async (round) => {
      const codes: number[] = []
      for (let session = 0; session < 4; session++) {
        const connection = await connectFor(`203.0.113.${200 + round}`, ports.mx)
        await connection.reply()
        await connection.ask('EHLO host.example.net')
        for (let message = 0; message < 2; message++) {
          codes.push((await connection.ask('MAIL FROM:<x@example.net>')).code)
          await connection.ask('RSET')
        }
        connection.destroy()
      }
      return codes
    })
    expect(found).toEqual(expected)
    const record = await gateway.waitForLog(
      'the rate',
      ({ event, reason }) => event === 'policy.refused' && reason === 'rate',
    )
    expect(record).toMatchObject({ client: expect.stringMatching(/^203\.0\.113\.20\d$/), verb: 'MAIL', listener: 'mx' })
    expect(record['msg']).toContain('policy.rate.messages-per-client')
  })

  test('recipients count whether they are taken or not: guessing addresses ends', async () => {
    const expected = [250, ...Array.from({ length: 9 }, () => 550), 450]
    const found = await heldTogether(gateway, expected, async (round) => {
      const connection = await connectFor(`203.0.113.${210 + round}`, ports.mx)
      await connection.reply()
      await connection.ask('EHLO host.example.net')
      await connection.ask('MAIL FROM:<x@example.net>')
      const codes: number[] = []
      for (let guess = 0; guess < 11; guess++) {
        codes.push((await connection.ask(`RCPT TO:<${guess === 0 ? ann.name : `guess${guess}@example.org`}>`)).code)
      }
      connection.destroy()
      return codes
    })
    expect(found).toEqual(expected)
  })
})

test('commands of a client count over SMTP and IMAP, connections and workers; then its sessions end', async () => {
  const client = '203.0.113.25'
  let taken = 0
  let last = ''
  // Each connection gives ten, by either protocol, until one is told that it was the last.
  for (let session = 0; last === '' && session < 10; session++) {
    const isMail = session % 2 === 0
    const connection = await connectFor(client, isMail ? ports.mx : ports.imap)
    if (isMail) await connection.reply()
    else await connection.line()
    for (let count = 0; last === '' && count < 10; count++) {
      connection.command(isMail ? 'NOOP' : 'a NOOP')
      const said = await connection.line()
      if (/^(?:250|a OK)/.test(said)) taken++
      else last = said
    }
    connection.destroy()
  }
  // A worker that waits too long for the supervisor's count goes by its own: then the limit is reached once in each.
  expect(taken).toBeGreaterThanOrEqual(commandsPerClient)
  expect(taken).toBeLessThanOrEqual(2 * commandsPerClient)
  expect(last).toMatch(/^(?:421|\* BYE \[UNAVAILABLE\] .*Too many commands)/)
  const record = await gateway.waitForLog(
    'the rate of commands',
    ({ msg = '' }) => msg.includes('policy.rate.commands-per-client'),
    30_000,
  )
  expect(record).toMatchObject({ event: 'policy.refused', reason: 'rate', client, verb: 'NOOP' })
})

/** One sign-in, by SMTP or IMAP; what came of it. */
async function signIn(source: string, { name, password }: Account, protocol: 'smtp' | 'imap'): Promise<string> {
  if (protocol === 'smtp') {
    const connection = await connectFor(source, ports.submission)
    const greeting = await connection.reply()
    if (greeting.code !== 220) return `${greeting.code}`
    await connection.ask('EHLO client.example.net')
    const token = Buffer.from(`\0${name}\0${password}`).toString('base64')
    const { code } = await connection.ask(`AUTH PLAIN ${token}`)
    connection.destroy()
    return `${code}`
  }
  const connection = await connectFor(source, ports.imap)
  const greeting = await connection.line()
  if (greeting.startsWith('* BYE')) return greeting
  const response = (await connection.imap(`a LOGIN ${name} "${password}"`)).at(-1) ?? ''
  connection.destroy()
  return response
}

const wrong = { name: ann.name, password: 'wrong' }
const protocolOf = (n: number): 'smtp' | 'imap' => (n % 2 === 0 ? 'smtp' : 'imap')

test('imap.unauthenticate: nobody signs out of a connection to sign in as another', async () => {
  const connection = await connectFor('203.0.113.29', ports.imap)
  await connection.line()
  expect((await connection.imap(`a LOGIN ${bob.name} "${bob.password}"`)).at(-1)).toMatch(
    /^a OK \[CAPABILITY (?!.*UNAUTHENTICATE)/,
  )
  expect((await connection.imap('b UNAUTHENTICATE')).at(-1)).toMatch(/^b BAD /)
  connection.destroy()
})

describe('AU-02, AU-03: failed logins, in both workers and protocols together', () => {
  test('AU-02: a client that fails four times is let in no more, by neither protocol, with no password', async () => {
    const client = '203.0.113.30'
    const outcomes: string[] = []
    for (let n = 0; n < failuresPerClient; n++) {
      outcomes.push(await signIn(client, { name: `user${n}@example.org`, password: 'guess' }, protocolOf(n)))
    }
    expect(outcomes.map((outcome) => outcome.replace(/ .*/s, ''))).toEqual(['535', 'a', '535', 'a'])
    await gateway.waitForLog('the ban', ({ event, who }) => event === 'policy.banned' && who === client)
    expect(await signIn(client, ann, 'smtp')).toBe('421')
    expect(await signIn(client, ann, 'imap')).toMatch(/^\* BYE \[UNAVAILABLE\]/)
    const record = await gateway.waitForLog('who tries', ({ reason }) => reason === 'banned')
    expect(record).toMatchObject({ event: 'policy.refused', policy: 'ban', client })
    expect(record['msg']).toMatch(/exempt-networks/)
    // Another client is served, and mail of hosts goes on from the very address.
    expect(await signIn('203.0.113.31', bob, 'imap')).toMatch(/^a OK/)
    const mail = await connectFor(client, ports.mx)
    expect((await mail.reply()).code).toBe(220)
    mail.destroy()
  })

  test('AU-03: strangers who guess at a user lock out each other, and not the owner at a known address', async () => {
    const home = '203.0.113.32'
    expect(await signIn(home, ann, 'imap')).toMatch(/^a OK/)
    const strangers = Array.from({ length: failuresPerUser }, (_, n) =>
      signIn(`198.18.0.${n + 1}`, wrong, protocolOf(n)),
    )
    await Promise.all(strangers)
    await gateway.waitForLog('the ban', ({ event, of }) => event === 'policy.banned' && of === 'user')
    expect(await signIn('198.18.1.1', ann, 'imap')).toMatch(/^a NO \[UNAVAILABLE\]/)
    expect(await signIn('198.18.1.2', ann, 'smtp')).toBe('454')
    expect(await signIn(home, ann, 'imap')).toMatch(/^a OK/)
    expect(await signIn(home, ann, 'smtp')).toBe('235')
    expect(await signIn('198.18.1.1', bob, 'imap')).toMatch(/^a OK/)
  })
})
