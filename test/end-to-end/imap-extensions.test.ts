// The extensions of IMAP with peers that are not ours, against the gateway and its Maildir.
import { connect } from 'node:net'
import { join } from 'node:path'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { makeCertificate } from '../kit/certificates.ts'
import { listener } from '../kit/configuration.ts'
import { ann, startGateway, type Account, type Gateway, type LogRecord } from '../kit/gateway.ts'
import { heldTogether } from '../kit/held-together.ts'
import { openImap } from '../kit/mailbox.ts'
import { eventually } from '../kit/patience.ts'
import { peer } from '../kit/peers.ts'
import { freePorts } from '../kit/ports.ts'

const ports = await freePorts('admin', 'imap', 'imaps')
const bob: Account = { name: 'bob@example.org', password: 'the password of bob' }
/** More than the programs of these tests open at once. */
const sessionsPerUser = 8
let gateway: Gateway

beforeAll(async () => {
  const { cert, key } = await makeCertificate()
  const tables = [
    listener('imap', { protocol: 'imap', bind: ports.imap, tls: 'starttls', mode: 'off' }),
    listener('imaps', { protocol: 'imap', bind: ports.imaps, tls: 'implicit', mode: 'off' }),
    `[tls]\ncertificates = [{ cert = "${cert}", key = "${key}" }]`,
    `[policy.concurrency]\nsessions-per-user = ${sessionsPerUser}`,
  ]
  gateway = await startGateway({ config: tables.join('\n\n'), adminPort: ports.admin, accounts: [ann, bob] })
})
afterAll(async () => {
  await gateway?.stop()
})

test('IM-23: Python speaks them over zlib, and reaches nobody else’s mail', async () => {
  const script = join(import.meta.dirname, 'peers/imap_extensions.py')
  const args = [script, '127.0.0.1', String(ports.imap), ann.name, ann.password, bob.name]
  const { code, stdout, stderr } = await peer('python3', args)
  expect(stderr).toBe('')
  expect(stdout).toBe('done\n')
  expect(code).toBe(0)
})

test('IM-21: sessions that end by a reset, by half a close, or by LOGOUT, are all over at once', async () => {
  const ends: readonly ((socket: TLSSocket) => void)[] = [
    (socket) => void socket.destroy(),
    (socket) => void socket.end(),
    (socket) => void socket.write('z LOGOUT\r\n'),
  ]
  const sessions = 6
  let opened = 0
  for (const end of ends) {
    for (let count = 0; count < sessions; count += 1) {
      const socket = await signIn()
      opened += 1
      socket.on('error', () => {})
      end(socket)
    }
  }
  const over = (): readonly LogRecord[] => gateway.log.filter(isSessionEnd)
  await gateway.waitForLog('the end of every session', (record) => isSessionEnd(record) && over().length >= opened)
  const reasons = over().map((record) => String(record['reason']))
  expect(reasons).toHaveLength(opened)
  expect(reasons.filter((reason) => reason === 'quit')).toHaveLength(sessions)
  expect(reasons.filter((reason) => reason === 'internal-error')).toEqual([])
})

test('IM-21: a user has as many sessions as are allowed, over all workers, and one more when one ended', async () => {
  const open: TLSSocket[] = []
  // Those of the test before are given back by now, or in a moment.
  const place = (): Promise<TLSSocket> => eventually('a place', () => signIn().catch(() => undefined))
  const oneMore = await heldTogether(gateway, 'refused', async () => {
    for (const socket of open.splice(0)) socket.destroy()
    for (let count = 0; count < sessionsPerUser; count += 1) open.push(await place())
    try {
      open.push(await signIn())
      return 'signed in'
    } catch (error) {
      return String(error).includes('a NO [LIMIT] ') ? 'refused' : String(error)
    }
  })
  expect(oneMore).toBe('refused')
  const refused = await gateway.waitForLog('the refusal', ({ event }) => event === 'policy.refused')
  expect(refused.msg).toContain('policy.concurrency.sessions-per-user')
  // Other users are not concerned, and a connection that was cut off gives its place back.
  open.push(await signIn(bob))
  open.pop()?.destroy()
  open.pop()?.destroy()
  open.push(await place())
  for (const socket of open) socket.destroy()
})

test('NOTIFY: what happens in mailboxes that are not selected is told, whichever worker it happens in', async () => {
  // One listens on each of the two workers, as likely as not; the others change things.
  const listening = [await signIn(bob), await signIn(bob), await signIn(bob)]
  const acting = await openImap(ports.imap, bob)
  await acting.mailboxCreate('Lists')
  const heard = listening.map(() => '')
  for (const [at, socket] of listening.entries()) {
    socket.on('data', (chunk) => (heard[at] += String(chunk)))
    socket.write(
      'c NOTIFY SET (selected (MessageNew (UID) MessageExpunge)) (personal (MailboxName MessageNew MessageExpunge))\r\n',
    )
  }
  const heardBy = (words: RegExp): number => heard.filter((text) => words.test(text)).length
  const allHeard = async (what: string, words: RegExp): Promise<void> => {
    await eventually(what, () => heardBy(words) === listening.length || undefined)
  }
  await allHeard('the answers', /^c OK /m)
  await acting.append('Lists', 'Subject: one\r\n\r\nbody\r\n')
  await allHeard('the new message', /^\* STATUS "Lists" \(MESSAGES 1 UIDNEXT 2 /m)
  await acting.append('INBOX', 'Subject: two\r\n\r\nbody\r\n')
  await allHeard('a message of the selected mailbox', /^\* 1 EXISTS\r\n\* [01] RECENT\r\n\* 1 FETCH \(UID 1\)/m)
  await acting.mailboxRename('Lists', 'Letters')
  await allHeard('the new name', /^\* LIST \([^)]*\) "\/" "Letters" \("OLDNAME" \("Lists"\)\)/m)
  await acting.logout()
  for (const socket of listening) socket.destroy()
  expect(heardBy(/^(?:\* BYE|c (?:NO|BAD)) /m)).toBe(0)
})

function isSessionEnd(record: LogRecord): boolean {
  return record.event === 'connection.close' && record['listener'] === 'imaps'
}

/** A session over implicit TLS in which ann has her INBOX selected. */
async function signIn({ name, password }: Account = ann): Promise<TLSSocket> {
  const raw = connect(ports.imaps, '127.0.0.1')
  const socket = connectTls({ socket: raw, rejectUnauthorized: false })
  socket.write(`a LOGIN ${name} "${password}"\r\nb SELECT INBOX\r\n`)
  let heard = ''
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
    heard += String(chunk)
    if (/^b OK /m.test(heard)) return socket
    if (/^[ab] (?:NO|BAD) /m.test(heard)) break
  }
  throw new Error(`not signed in: ${heard}`)
}
