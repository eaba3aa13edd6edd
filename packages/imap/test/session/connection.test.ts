// COMPRESS (RFC 4978) and UNAUTHENTICATE (RFC 8437): commands about the connection itself.
import { duplexPair } from 'node:stream'
import { constants, createInflateRaw, deflateRawSync } from 'node:zlib'
import { endpoint, runSession } from '@postern/core'
import { expect, test } from 'vitest'
import { createImapSession } from '../../src/index.ts'
import { dialogue, selectedInbox, signedIn } from '../dialogue.ts'
import { MemoryStore } from '../memory-store.ts'

test(
  'COMPRESS needs a login, DEFLATE, and silence behind it',
  dialogue(
    { security: 'tls' },
    `
    S: * OK *
    C: a COMPRESS DEFLATE
    S: a BAD Command is not valid in this state
    C: b LOGIN ann secret
    S: b OK *
    C: c COMPRESS
    S: c BAD *
    C: d COMPRESS LZW
    S: d BAD Algorithm is not known
    C: e COMPRESS DEFLATE FAST
    S: e BAD *
    C: f COMPRESS DEFLATE
    S: f OK Compression begins now
    C: g COMPRESS DEFLATE
    S: g NO [COMPRESSIONACTIVE] Compression is active already
    C: h UNAUTHENTICATE
    S: h NO [CANNOT] Not on a compressed connection
    `,
  ),
)

test('COMPRESS is wished for once, and not offered twice', async () => {
  const session = await signedIn()
  expect(await session.ask('a CAPABILITY')).toMatch(/ COMPRESS=DEFLATE UNAUTHENTICATE /)
  await session.ask('b COMPRESS DEFLATE')
  expect(session.wishes.at(-1)).toEqual({ next: 'compress', patienceMs: 1_800_000 })
  expect(await session.ask('c CAPABILITY')).not.toMatch(/COMPRESS|UNAUTHENTICATE/)
})

test('what follows COMPRESS before its answer makes it BAD, and is read in the clear', async () => {
  const session = await signedIn()
  session.take()
  await session.send('a COMPRESS DEFLATE\r\nb NOOP\r\n')
  expect(session.take()).toBe('a BAD Nothing may be sent before the answer\r\nb OK Noop completed\r\n')
  expect(session.wishes.at(-1)?.next).toBe('read')
})

test('a whole session under compression, commands cut anywhere', async () => {
  const [stream, client] = duplexPair()
  const address = endpoint('192.0.2.1', 40_000)
  const store = new MemoryStore()
  store.put('ann', 'INBOX', `Subject: long\r\n\r\n${'words and words '.repeat(20_000)}`)
  const running = runSession(
    {
      id: 'test000000000001',
      listener: { name: 'imap', protocol: 'imap', tls: 'off' },
      identity: { origin: 'direct', client: address, peer: address, destination: address, trust: { rule: 'absent' } },
      security: { kind: 'tls', endedBy: 'gateway', version: 'TLSv1.3', cipher: 'x' },
      stream,
      signal: new AbortController().signal,
    },
    (context) =>
      createImapSession(context, {
        hostname: 'imap.example',
        offersStartTls: false,
        policies: [],
        authenticator: { verify: async () => ({ outcome: 'granted', principal: { account: 'ann', username: 'ann' } }) },
        store,
        now: () => new Date(),
        maxAppendBytes: 1000,
      }),
  )
  let clear = ''
  let inflated = ''
  let octets = 0
  const inflate = createInflateRaw().on('data', (chunk: Buffer) => (inflated += chunk.toString('latin1')))
  client.on('data', (chunk: Buffer) => {
    if (!clear.includes('b OK')) clear += chunk.toString()
    else inflate.write(chunk)
    octets += chunk.length
  })
  client.write('a LOGIN ann secret\r\n')
  await expect.poll(() => clear).toContain('a OK')
  client.write('b COMPRESS DEFLATE\r\n')
  await expect.poll(() => clear).toContain('b OK Compression begins now\r\n')
  octets = 0
  const packed = deflateRawSync('c SELECT INBOX\r\nd FETCH 1 BODY[]\r\ne LOGOUT\r\n', {
    finishFlush: constants.Z_SYNC_FLUSH,
  })
  for (const octet of packed) client.write(Buffer.from([octet]))
  await expect.poll(() => inflated.endsWith('e OK Logout completed\r\n')).toBe(true)
  expect(inflated.replaceAll(/(?:words and words )+/g, '…')).toMatch(
    /^\* FLAGS [^]*c OK \[READ-WRITE\][^]*\{320017\}\r\nSubject: long\r\n\r\n…\)\r\nd OK [^]*e OK Logout completed\r\n$/,
  )
  expect(octets).toBeLessThan(20_000)
  client.end()
  expect(await running.ended).toMatchObject({ reason: 'quit' })
})

test('UNAUTHENTICATE leaves nothing of who was signed in', async () => {
  const session = await selectedInbox({ store: new MemoryStore() })
  await session.ask('a ENABLE IMAP4rev2')
  expect(await session.ask('b UNAUTHENTICATE now')).toMatch(/^b BAD /)
  expect(await session.ask('c UNAUTHENTICATE')).toMatch(/^c OK \[CAPABILITY IMAP4rev1 .*AUTH=PLAIN/)
  // The half hour of who was signed in is over, too; from here on no command prolongs the time.
  expect(session.wishes.at(-1)).toEqual({ next: 'read', patienceMs: 180_000 })
  expect(await session.ask('d NOOP')).toBe('d OK Noop completed\r\n')
  expect(session.wishes.at(-1)).toEqual({ next: 'read', patienceMs: 180_000, keepsDeadline: true })
  expect(await session.ask('e FETCH 1 FLAGS')).toMatch(/^e BAD /)
  expect(await session.ask('f LIST "" *')).toMatch(/^f BAD /)
  expect(session.wishes.at(-1)).toMatchObject({ next: 'read', patienceMs: 180_000 })
  expect(await session.ask('g LOGIN ann secret')).toMatch(/^g OK /)
  expect(await session.ask('h SELECT INBOX')).toMatch(/RECENT/)
})

test('UNAUTHENTICATE can be taken away (RFC 8437 section 7)', async () => {
  const session = await signedIn({ mayUnauthenticate: false })
  expect(await session.ask('a CAPABILITY')).not.toMatch(/UNAUTHENTICATE/)
  expect(await session.ask('b UNAUTHENTICATE')).toBe('b BAD Command is not offered\r\n')
  expect(await session.ask('c SELECT INBOX')).toMatch(/^c OK /m)
})

test('UNAUTHENTICATE does not forget failed logins', async () => {
  const session = await signedIn()
  await session.ask('a UNAUTHENTICATE')
  for (const tag of ['b', 'c']) await session.ask(`${tag} LOGIN ann wrong`)
  await session.ask('d LOGIN ann secret')
  await session.ask('e UNAUTHENTICATE')
  expect(await session.ask('f LOGIN ann wrong')).toMatch(/BYE Too many failed logins\r\n$/)
})
