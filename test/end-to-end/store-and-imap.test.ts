// The embedded store with real clients: mail comes in, is read, flagged, copied and removed over IMAP.
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { ImapFlow } from 'imapflow'
import { createTransport } from 'nodemailer'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { makeCertificate } from '../kit/certificates.ts'
import { listener } from '../kit/configuration.ts'
import { Dialogue } from '../kit/dialogue.ts'
import { ann, postern, startGateway, type Account, type Gateway } from '../kit/gateway.ts'
import { openImap, readInbox, readMessage } from '../kit/mailbox.ts'
import { eventually, within } from '../kit/patience.ts'
import { peer } from '../kit/peers.ts'
import { freePorts } from '../kit/ports.ts'
import { ends, v2 } from '../kit/proxy-header.ts'
import { proxyV2, swaks } from '../kit/swaks.ts'

const ports = await freePorts('admin', 'smtp', 'direct', 'submission', 'imap')
const accounts: readonly Account[] = [ann, ...['bob', 'carol', 'dave', 'erin'].map((name) => accountOf(name))]
const [, bob, carol, dave, erin] = accounts as readonly [Account, Account, Account, Account, Account]
let gateway: Gateway

function accountOf(name: string): Account {
  return { name: `${name}@example.org`, password: `the password of ${name}` }
}

beforeAll(async () => {
  const { cert, key } = await makeCertificate()
  const tables = [
    '[proxy]\ntrusted-networks = ["127.0.0.1"]',
    // Errors are not slowed: here they are made to find the end of a client's budget.
    '[smtp]\nlocal-domains = ["example.org"]\nerror-delay = "off"',
    listener('mx', { protocol: 'smtp', bind: ports.smtp, mode: 'require' }),
    listener('direct', { protocol: 'smtp', bind: ports.direct, mode: 'off' }),
    listener('submission', { protocol: 'submission', bind: ports.submission, tls: 'starttls', mode: 'off' }),
    // C3: whatever port the configuration names; without one it is 143 (see the test of `postern check`).
    listener('imap', { protocol: 'imap', bind: ports.imap, tls: 'starttls', mode: 'off' }),
    `[tls]\ncertificates = [{ cert = "${cert}", key = "${key}" }]`,
  ]
  gateway = await startGateway({ config: tables.join('\n\n'), adminPort: ports.admin, accounts })
})
afterAll(async () => {
  await gateway?.stop()
})

test('C2, H10: swaks with a v2 header, then curl over IMAP: Received names the client and the balancer', async () => {
  const sent = await swaks({ port: ports.smtp, to: bob.name, subject: 'first', args: proxyV2('203.0.113.7') })
  expect(sent).toMatchObject({ code: 0 })
  const args = ['--silent', '--show-error', '--insecure', '--ssl-reqd', '--user', `${bob.name}:${bob.password}`]
  const read = await peer('curl', [...args, `imap://127.0.0.1:${ports.imap}/INBOX;MAILINDEX=1`])
  expect(read).toMatchObject({ code: 0 })
  expect(read.stdout).toMatch(/^Return-Path: <bob@example\.net>\r\n/)
  const received = /^Received: (?:.*\r\n[ \t])*.*\r\n/m.exec(read.stdout)?.[0] ?? ''
  expect(received).toContain('from client.example.net')
  expect(received).toContain('[203.0.113.7]')
  expect(received).toContain('127.0.0.1')
  expect(received).toContain('by mx.example.org')
  expect(received).toMatch(/with ESMTP\b/)
  expect(read.stdout).toMatch(/\r\nSubject: first\r\n/)
})

test('S14: the id of the connection is in Received, in the reply to the end of data, and in every log line', async () => {
  const client = await Dialogue.connect(ports.smtp)
  client.send(v2({ ...ends, source: '203.0.113.30' }))
  await client.reply()
  await client.ask('EHLO client.example.net')
  client.send(`MAIL FROM:<x@example.net>\r\nRCPT TO:<${bob.name}>\r\nDATA\r\n`)
  await client.reply()
  await client.reply()
  await client.reply()
  const { text } = await client.ask('Subject: with an id\r\n\r\ntext\r\n.')
  await client.ask('QUIT')
  await client.end()
  const closed = await gateway.waitForLog(
    'its end',
    (record) => record.event === 'connection.close' && record['client'] === '203.0.113.30',
  )
  const id = String(closed['id'])
  expect(id).toMatch(/^[0-9a-z]{16}$/)
  expect(text).toContain(id)
  expect(await readMessage(ports.imap, 'with an id', bob)).toContain(id)
  const events = gateway.log.filter((record) => record['client'] === '203.0.113.30')
  expect(new Set(events.map((record) => record['id']))).toEqual(new Set([id]))
  expect(events.map(({ event }) => event)).toEqual(['proxy.accepted', 'smtp.transaction', 'connection.close'])
})

test('C2: curl sends over SMTP and reads over IMAP what it sent, byte for byte', async () => {
  const lines = ['Subject: from curl', '', '.a line that begins with a dot', '..two', '', 'ünïcödé', '.', 'end']
  const message = `${lines.join('\r\n')}\r\n`
  const sent = await peer(
    'curl',
    [
      '--silent',
      '--show-error',
      `smtp://127.0.0.1:${ports.direct}/client.example.net`,
      '--mail-from',
      'x@example.net',
      '--mail-rcpt',
      bob.name,
      '-T',
      '-',
    ],
    { input: message },
  )
  expect(sent).toMatchObject({ code: 0 })
  const stored = await readMessage(ports.imap, 'from curl', bob)
  expect(stored.endsWith(`\r\n${message}`)).toBe(true)
})

test('C2: nodemailer submits with STARTTLS over one pooled connection; a large attachment comes back whole', async () => {
  const transport = createTransport({
    host: '127.0.0.1',
    port: ports.submission,
    name: 'client.example.net',
    pool: true,
    maxConnections: 2,
    auth: { user: ann.name, pass: ann.password },
    tls: { rejectUnauthorized: false },
  })
  try {
    expect(await transport.verify()).toBe(true)
    const content = Buffer.alloc(2_000_000, 'The quick brown fox jumps over the lazy dog. ')
    const sendings = Array.from({ length: 10 }, (_, index) =>
      transport.sendMail({
        from: ann.name,
        to: carol.name,
        subject: `number ${index}`,
        text: 'see the attachment',
        ...(index === 0 ? { attachments: [{ filename: 'fox.txt', content }] } : {}),
      }),
    )
    for (const { accepted } of await Promise.all(sendings)) expect(accepted).toEqual([carol.name])
    const messages = await readInbox(ports.imap, carol)
    expect(messages).toHaveLength(10)
    const large = messages.find((message) => message.includes('\nSubject: number 0\r\n')) ?? ''
    const encoded = /filename=fox\.txt\r\n(?:.+\r\n)*\r\n([A-Za-z0-9+/=\r\n]+)/.exec(large)?.[1] ?? ''
    expect(Buffer.from(encoded, 'base64').equals(content)).toBe(true)
  } finally {
    transport.close()
  }
})

test("C2: Python's imaplib appends, lists, searches, fetches, flags, copies and expunges", async () => {
  const script = join(import.meta.dirname, 'peers/imap_session.py')
  const { code, stdout, stderr } = await peer('python3', [
    script,
    '127.0.0.1',
    String(ports.imap),
    dave.name,
    dave.password,
  ])
  expect(stderr).toBe('')
  expect(stdout).toBe('done\n')
  expect(code).toBe(0)
})

describe('C2: imapflow', () => {
  let client: ImapFlow
  beforeAll(async () => {
    client = await openImap(ports.imap, erin)
  })
  afterAll(async () => {
    await client?.logout()
  })

  test('signs in over STARTTLS, and is denied with a wrong password', async () => {
    expect(client.secureConnection).toBe(true)
    await expect(openImap(ports.imap, { ...erin, password: 'wrong password' })).rejects.toMatchObject({
      authenticationFailed: true,
    })
    await gateway.waitForLog(
      'the failed sign-in',
      (record) => record.event === 'auth.failed' && record['username'] === erin.name,
    )
  })

  test('creates mailboxes in a hierarchy, renames and removes them', async () => {
    await client.mailboxCreate(['Work', 'Projects', 'Übung'])
    await client.mailboxSubscribe(['Work', 'Projects', 'Übung'])
    const names = (await client.list()).map(({ path }) => path)
    expect(names.some((path) => path.endsWith('Übung'))).toBe(true)
    const path = names.find((name) => name.endsWith('Übung')) ?? ''
    await client.mailboxRename(path, path.replace('Übung', 'Exercise'))
    const renamed = (await client.list()).map((mailbox) => mailbox.path)
    expect(renamed.some((name) => name.endsWith('Exercise'))).toBe(true)
    expect(renamed.some((name) => name.endsWith('Übung'))).toBe(false)
    await client.mailboxDelete(path.replace('Übung', 'Exercise'))
    expect((await client.list()).some((mailbox) => mailbox.path.endsWith('Exercise'))).toBe(false)
  })

  test('appends, fetches envelope and structure, flags, moves and expunges', async () => {
    const raw = [
      'From: Ann <ann@example.org>',
      'To: Erin <erin@example.org>',
      'Subject: =?UTF-8?Q?Gr=C3=BC=C3=9Fe?=',
      'Message-ID: <structure@example.org>',
      'Date: Sat, 21 Nov 2026 10:00:00 +0000',
      'MIME-Version: 1.0',
      'Content-Type: multipart/mixed; boundary="b"',
      '',
      '--b',
      'Content-Type: text/plain; charset=utf-8',
      '',
      'hello',
      '--b',
      'Content-Type: application/octet-stream; name="a.bin"',
      'Content-Transfer-Encoding: base64',
      '',
      'AAECAw==',
      '--b--',
      '',
    ].join('\r\n')
    const appended = await client.append('INBOX', raw, ['\\Flagged'])
    expect(appended).not.toBe(false)
    await client.mailboxCreate('Archive')
    const lock = await client.getMailboxLock('INBOX')
    try {
      const [found] =
        (await client.search({ header: { 'message-id': '<structure@example.org>' } }, { uid: true })) || []
      expect(found).toBeTypeOf('number')
      const message = await client.fetchOne(
        String(found),
        { envelope: true, bodyStructure: true, flags: true, source: true },
        { uid: true },
      )
      if (message === undefined || message === false) throw new Error('the message is not there')
      expect(message.envelope?.subject).toBe('Grüße')
      expect(message.envelope?.from?.[0]).toMatchObject({ name: 'Ann', address: 'ann@example.org' })
      expect(message.bodyStructure?.type).toBe('multipart/mixed')
      expect(message.bodyStructure?.childNodes?.map(({ type }) => type)).toEqual([
        'text/plain',
        'application/octet-stream',
      ])
      expect(message.source?.toString()).toBe(raw)
      expect([...(message.flags ?? [])]).toContain('\\Flagged')
      const { content } = await client.download(String(found), '2', { uid: true })
      const chunks: Buffer[] = []
      for await (const chunk of content) chunks.push(chunk as Buffer)
      expect(Buffer.concat(chunks).toString('hex')).toBe('00010203')

      await client.messageFlagsAdd(String(found), ['\\Seen', 'custom'], { uid: true })
      await client.messageFlagsRemove(String(found), ['\\Flagged'], { uid: true })
      const after = await client.fetchOne(String(found), { flags: true }, { uid: true })
      // No `\Recent`: imapflow speaks IMAP4rev2, which has none (RFC 9051).
      expect([...((after || undefined)?.flags ?? [])].sort()).toEqual(['\\Seen', 'custom'])

      await client.messageCopy(String(found), 'Archive', { uid: true })
      await client.messageMove(String(found), 'Archive', { uid: true })
    } finally {
      lock.release()
    }
    expect((await client.status('INBOX', { messages: true })).messages).toBe(0)
    expect((await client.status('Archive', { messages: true })).messages).toBe(2)
    const archive = await client.getMailboxLock('Archive')
    try {
      await client.messageDelete('1:*')
      expect(client.mailbox === false ? -1 : client.mailbox.exists).toBe(0)
    } finally {
      archive.release()
    }
  })

  test('IDLE tells of a delivery that another connection made, whichever worker it came to', async () => {
    const waiting = await openImap(ports.imap, erin)
    try {
      const { exists } = await waiting.mailboxOpen('INBOX')
      for (let round = 1; round <= 4; round += 1) {
        const told = new Promise<number>((resolve) => {
          waiting.once('exists', ({ count }: { readonly count: number }) => {
            resolve(count)
          })
        })
        const idle = waiting.idle()
        const sent = await swaks({ port: ports.direct, to: erin.name, subject: `while idle ${round}` })
        expect(sent).toMatchObject({ code: 0 })
        expect(await within(30_000, 'EXISTS', told)).toBe(exists + round)
        await waiting.noop()
        await idle
      }
    } finally {
      await waiting.logout()
    }
  })
})

test('a message without CR or LF alone, a dot-stuffed one, and one in pieces are stored as they were sent', async () => {
  const client = await Dialogue.connect(ports.direct)
  await client.reply()
  await client.ask('EHLO client.example.net')
  const body = `Subject: pieces\r\n\r\n${'..\r\n'.repeat(50)}end\r\n.\r\n`
  await client.ask('MAIL FROM:<x@example.net>')
  await client.ask(`RCPT TO:<${bob.name}>`)
  await client.ask('DATA')
  await client.sendInPieces(body, 3)
  expect((await client.reply()).code).toBe(250)
  client.destroy()
  expect((await readMessage(ports.imap, 'pieces', bob)).endsWith(`\r\n\r\n${'.\r\n'.repeat(50)}end\r\n`)).toBe(true)
})

const kept = async (subject: string): Promise<readonly string[]> =>
  (await readInbox(ports.imap, erin)).filter((stored) => stored.includes(`\nSubject: ${subject}\r\n`))

describe('ST-09: a client that goes between the final dot and the reply', () => {
  const text = 'a line of text\r\n'.repeat(500)

  async function leaveBehind(subject: string, leave: (client: Dialogue) => void): Promise<void> {
    const client = await Dialogue.connect(ports.direct)
    await client.reply()
    await client.ask('EHLO client.example.net')
    await client.ask('MAIL FROM:<x@example.net>')
    await client.ask(`RCPT TO:<${erin.name}>`)
    await client.ask('DATA')
    client.send(`Subject: ${subject}\r\n\r\n${text}.\r\n`)
    leave(client)
  }

  test('left its message behind, whole and once', async () => {
    const subjects = Array.from({ length: 8 }, (_, number) => `gone ${number}`)
    await Promise.all(subjects.map((subject) => leaveBehind(subject, (client) => client.destroy())))
    for (const subject of subjects) {
      const [stored, ...others] = await eventually(`the message ${subject}`, async () => {
        const found = await kept(subject)
        return found.length > 0 ? found : undefined
      })
      expect(others).toEqual([])
      expect(stored?.endsWith(`\r\n\r\n${text}`)).toBe(true)
    }
  })

  test('and comes again with it, since it never heard: the message is there twice at most (RFC 1047)', async () => {
    await leaveBehind('again', (client) => client.reset())
    await leaveBehind('again', (client) => client.destroy())
    const stored = await eventually('the message', async () => {
      const found = await kept('again')
      return found.length > 0 ? found : undefined
    })
    expect(stored.length).toBeLessThanOrEqual(2)
    for (const one of stored) expect(one.endsWith(`\r\n\r\n${text}`)).toBe(true)
  })
})

test.each([
  ['LF.LF', '\n.\n'],
  ['LF.CRLF', '\n.\r\n'],
  ['CRLF.LF', '\r\n.\n'],
  ['CR.CR', '\r.\r'],
  ['CRLF.CR', '\r\n.\r'],
  ['CR.CRLF', '\r.\r\n'],
])('only CRLF.CRLF ends a message: %s does not', async (_, terminator) => {
  const before = (await readInbox(ports.imap, bob)).length
  const client = await Dialogue.connect(ports.direct)
  await client.reply()
  await client.ask('EHLO client.example.net')
  await client.ask('MAIL FROM:<x@example.net>')
  await client.ask(`RCPT TO:<${bob.name}>`)
  await client.ask('DATA')
  const smuggled = `MAIL FROM:<smuggled@example.net>\r\nRCPT TO:<${bob.name}>\r\nDATA\r\nSubject: smuggled\r\n\r\ntext`
  client.send(`Subject: outer\r\n\r\ntext${terminator}${smuggled}\r\n.\r\n`)
  expect((await client.reply()).code).toBe(250)
  expect((await client.ask('NOOP')).code).toBe(250)
  client.destroy()
  const stored = await readInbox(ports.imap, bob)
  expect(stored).toHaveLength(before + 1)
  // Nothing that is stored has a CR or an LF that stands alone, so nobody behind us can be fooled by it either.
  expect(stored.at(-1)).not.toMatch(/(?<!\r)\n|\r(?!\n)/)
  expect(stored.at(-1)).toMatch(/^Return-Path: <x@example\.net>\r\n/)
})

describe('envelopes that are refused', () => {
  test.each([
    ['no relaying for strangers', 'RCPT TO:<someone@elsewhere.example>', /^5\d\d/],
    ['nobody of that name', 'RCPT TO:<nobody@example.org>', /^550/],
    ['an address that is none', 'RCPT TO:<@@>', /^5\d\d/],
    ['control characters', `RCPT TO:<a\u0001b@example.org>`, /^5\d\d/],
    ['a parameter that nobody offered', `RCPT TO:<${ann.name}> FOO=bar`, /^555/],
  ])('%s', async (_, command, expected) => {
    const client = await Dialogue.connect(ports.direct)
    await client.reply()
    await client.ask('EHLO client.example.net')
    await client.ask('MAIL FROM:<x@example.net>')
    const { code } = await client.ask(command)
    expect(String(code)).toMatch(expected)
    expect((await client.ask('DATA')).code).toBeGreaterThanOrEqual(500)
    client.destroy()
  })

  test('a message larger than SIZE is refused at MAIL when it is declared, and at the dot when not', async () => {
    const client = await Dialogue.connect(ports.direct)
    await client.reply()
    const { text } = await client.ask('EHLO client.example.net')
    const size = Number(/^SIZE (\d+)$/m.exec(text)?.[1])
    expect(size).toBe(25 * 1024 * 1024)
    expect((await client.ask(`MAIL FROM:<x@example.net> SIZE=${size + 1}`)).code).toBe(552)
    expect((await client.ask('MAIL FROM:<x@example.net>')).code).toBe(250)
    await client.ask(`RCPT TO:<${bob.name}>`)
    await client.ask('DATA')
    const line = `${'x'.repeat(998)}\r\n`
    client.send(`Subject: too big\r\n\r\n${line.repeat(Math.ceil(size / line.length) + 10)}.\r\n`)
    expect((await client.reply()).code).toBe(552)
    expect((await client.ask('NOOP')).code).toBe(250)
    client.destroy()
    expect((await readInbox(ports.imap, bob)).some((message) => message.includes('too big'))).toBe(false)
  })

  test('lines without end and unknown commands are refused and end, with the others served', async () => {
    const endless = await Dialogue.connect(ports.direct)
    await endless.reply()
    endless.send('x'.repeat(300_000))
    expect(await endless.end()).toMatch(/^(?:500 [^\r\n]*\r\n)?421 [^\r\n]*\r\n$/)

    const noisy = await Dialogue.connect(ports.direct)
    await noisy.reply()
    let last = 0
    for (let count = 0; count < 100 && last !== 421; count += 1) last = (await noisy.ask('XYZZY')).code
    expect(last).toBe(421)
    await noisy.end()

    const other = await Dialogue.connect(ports.direct)
    expect((await other.reply()).code).toBe(220)
    other.destroy()
  })

  test('IMAP: literals and lines beyond all bounds before login, and a wrong tag', async () => {
    for (const bytes of [
      'x'.repeat(300_000),
      'a LOGIN {4000000000}\r\n',
      '\r\n\r\n\r\n\r\n\r\n',
      '{}\r\n{}\r\n{}\r\n{}\r\n',
    ]) {
      const client = await Dialogue.connect(ports.imap)
      await client.line()
      client.send(bytes)
      client.finish()
      expect(await client.end()).toMatch(/^(?:\* BAD|\* BYE|a NO|a BAD)/)
    }
    const client = await Dialogue.connect(ports.imap)
    expect(await client.line()).toMatch(/^\* OK/)
    client.destroy()
  })
})

test('of an account that is removed: nobody signs in and no mail comes, and who is signed in goes on', async () => {
  const client = await openImap(ports.imap, dave)
  try {
    expect(await postern(['user', 'remove', dave.name, '-c', gateway.configFile])).toMatchObject({ code: 0 })
    await expect(openImap(ports.imap, dave)).rejects.toMatchObject({ authenticationFailed: true })
    const sent = await swaks({ port: ports.direct, to: dave.name, subject: 'to nobody' })
    expect(sent.code).not.toBe(0)
    expect(sent.stdout).toMatch(/ 550 5\.1\.1 /)
    expect(await client.append('INBOX', 'Subject: yet\r\n\r\ntext\r\n')).toMatchObject({ destination: 'INBOX' })
  } finally {
    await client.logout()
  }
})

test('C2: on disk it is Maildir++, complete files in new or cur, readable by its owner only', async () => {
  const folders = await eventually('a maildir', () => {
    const found = readdirSync(join(gateway.folder, 'data'), { recursive: true, withFileTypes: true })
    const maildirs = found
      .filter((entry) => entry.isDirectory() && entry.name === 'cur')
      .map((entry) => entry.parentPath)
    return maildirs.length > 0 ? maildirs : undefined
  })
  const files = folders.flatMap((folder) =>
    ['new', 'cur'].flatMap((part) => readdirSync(join(folder, part)).map((name) => join(folder, part, name))),
  )
  expect(files.length).toBeGreaterThan(10)
  for (const file of files) {
    expect(statSync(file).mode & 0o077).toBe(0)
    expect(readFileSync(file).subarray(-2).toString('hex')).toBe('0d0a')
  }
  // A message of a client that went is perhaps still on its way.
  for (const folder of folders) await expect.poll(() => readdirSync(join(folder, 'tmp'))).toEqual([])
})

test('no password is in any log line, and no worker died', async () => {
  await gateway.settleLog()
  const text = JSON.stringify(gateway.log)
  for (const { name, password } of accounts) {
    expect(text).not.toContain(password)
    expect(text).not.toContain(Buffer.from(`\0${name}\0${password}`).toString('base64'))
  }
  expect(gateway.log.filter(({ event }) => event === 'worker.crashed' || event === 'internal-error')).toEqual([])
})
