// A whole server on loopback, over `showMail` and over a store that can be changed.
import { mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect as connectTls } from 'node:tls'
import { compileCidrSet, createTrustRule } from '@postern/core'
import { expect, onTestFinished, test } from 'vitest'
import {
  createImapServer,
  showMail,
  type ImapServer,
  type ImapServerOptions,
  type ShownMessage,
} from '../../src/index.ts'
import { MemoryStore } from '../memory-store.ts'
import { createReadingRoom } from '../readme-server-example.ts'

const fixtures = new URL('../../../core/test/fixtures/', import.meta.url)
const tls = { cert: readFileSync(new URL('cert.pem', fixtures)), key: readFileSync(new URL('key.pem', fixtures)) }

class Client {
  #socket: Socket
  #heard = ''
  #news = Promise.withResolvers<void>()
  isClosed = false

  constructor(socket: Socket) {
    this.#socket = socket
    this.#listen()
    onTestFinished(() => void this.#socket.destroy())
  }

  /** Everything up to what matches. */
  async until(pattern: RegExp): Promise<string> {
    for (;;) {
      const found = pattern.exec(this.#heard)
      if (found !== null) {
        const end = found.index + found[0].length
        const text = this.#heard.slice(0, end)
        this.#heard = this.#heard.slice(end)
        return text
      }
      if (this.isClosed) throw new Error(`closed; heard ${JSON.stringify(this.#heard)}`)
      await this.#news.promise
    }
  }

  async ask(line: string): Promise<string> {
    const [tag = ''] = line.split(' ')
    this.#socket.write(`${line}\r\n`)
    return this.until(new RegExp(`^${tag} .*\r\n`, 'm'))
  }

  say(text: string): void {
    this.#socket.write(text)
  }

  startTls(): void {
    this.#socket.removeAllListeners()
    this.#socket = connectTls({ socket: this.#socket, rejectUnauthorized: false })
    this.#listen()
  }

  async closed(): Promise<void> {
    while (!this.isClosed) await this.#news.promise
  }

  #listen(): void {
    const wake = (): void => {
      this.#news.resolve()
      this.#news = Promise.withResolvers()
    }
    this.#socket.on('data', (bytes: Buffer) => {
      this.#heard += bytes.toString('latin1')
      wake()
    })
    const end = (): void => {
      this.isClosed = true
      this.#socket.destroy()
      wake()
    }
    this.#socket.on('end', end).on('close', end).on('error', end)
  }
}

async function serve(
  options: Partial<ImapServerOptions> = {},
): Promise<{ readonly server: ImapServer; readonly port: number; readonly faults: unknown[] }> {
  const faults: unknown[] = []
  const server = createImapServer({
    hostname: 'imap.example',
    store: new MemoryStore(),
    authenticate: ({ username, password }) => (password.reveal() === 'secret' ? `${username}@example.org` : undefined),
    onFault: (error) => void faults.push(error),
    ...options,
  })
  onTestFinished(() => server.close(0))
  const { port } = await server.listen(0, '127.0.0.1')
  return { server, port, faults }
}

const plain = (port: number): Client => new Client(connect(port, '127.0.0.1'))
const secure = (port: number): Client => new Client(connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false }))

test('the example of the README shows a folder, by STARTTLS, and nobody changes it', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'postern-room-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  writeFileSync(join(folder, 'a.eml'), 'Subject: first\r\n\r\nhello\r\n')
  utimesSync(join(folder, 'a.eml'), 0, 1_000_000_000)
  const server = createReadingRoom(folder, tls)
  onTestFinished(() => server.close(0))
  const { port } = await server.listen(0, '127.0.0.1')
  const client = plain(port)
  expect(await client.until(/ready\r\n/)).toMatch(
    /^\* OK \[CAPABILITY .*STARTTLS LOGINDISABLED\] archive\.example ready/,
  )
  expect(await client.ask('a LOGIN reader "open sesame"')).toMatch(/^a NO \[PRIVACYREQUIRED\]/)
  await client.ask('b STARTTLS')
  client.startTls()
  expect(await client.ask('c LOGIN reader sesame')).toMatch(/^c NO \[AUTHENTICATIONFAILED\]/)
  expect(await client.ask('d LOGIN reader "open sesame"')).toMatch(/^d OK \[CAPABILITY /)
  expect(await client.ask('e LIST "" *')).toMatch(/^\* LIST \(\\HasNoChildren\) "\/" "INBOX"\r\ne OK /)
  expect(await client.ask('f SELECT INBOX')).toMatch(/\* 1 EXISTS\r\n[^]*f OK \[READ-ONLY\]/)
  expect(await client.ask('g FETCH 1 (INTERNALDATE RFC822.SIZE BODY[TEXT])')).toBe(
    '* 1 FETCH (INTERNALDATE " 9-Sep-2001 01:46:40 +0000" RFC822.SIZE 25 BODY[TEXT] {7}\r\nhello\r\n)\r\ng OK Fetch completed\r\n',
  )
  writeFileSync(join(folder, 'b.eml'), 'Subject: second\r\n\r\n')
  expect(await client.ask('h NOOP')).toMatch(/^\* 2 EXISTS\r\n/)
  for (const command of ['STORE 1 +FLAGS (\\Seen)', 'EXPUNGE', 'MOVE 1 INBOX', 'CREATE x', 'DELETE x', 'RENAME x y']) {
    expect(await client.ask(`i ${command}`)).toMatch(/^i NO /)
  }
  expect(await client.ask('j COPY 1 INBOX')).toMatch(/^j NO \[CANNOT\]/)
  expect(await client.ask('k STATUS INBOX (MESSAGES UIDNEXT UNSEEN)')).toMatch(/\(MESSAGES 2 UIDNEXT 3 UNSEEN 2\)/)
  expect(await client.ask('l SELECT Nowhere')).toMatch(/^l NO \[NONEXISTENT\]/)
  expect(await client.ask('m SUBSCRIBE INBOX')).toMatch(/^m NO /)
  expect(await client.ask('n APPEND INBOX {3}')).toMatch(/^n NO /)
  expect(await client.ask('o LOGOUT')).toMatch(/^\* BYE /)
  await client.closed()
})

test('mail that is shown may come, go and change its flags', async () => {
  let messages = [1, 3].map((uid) => shown(uid))
  const { port } = await serve({
    tls: { ...tls, mode: 'implicit' },
    store: showMail({ mailboxes: () => ['Lists', 'Lists/dev'], messages: () => messages, uidValidity: 7 }),
  })
  const client = secure(port)
  await client.ask('a LOGIN ann secret')
  expect(await client.ask('b LIST "" *')).toContain('* LIST (\\HasChildren) "/" "Lists"\r\n')
  expect(await client.ask('c EXAMINE Lists/dev')).toMatch(/UIDVALIDITY 7[^]*UIDNEXT 4/)
  messages = [shown(3, ['\\Seen', '$Read']), shown(9)]
  expect(await client.ask('d NOOP')).toBe(
    '* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft $Read)\r\n* 1 EXPUNGE\r\n* 2 EXISTS\r\n* 0 RECENT\r\n' +
      '* 1 FETCH (FLAGS (\\Seen $Read))\r\nd OK Noop completed\r\n',
  )
  messages = []
  expect(await client.ask('e FETCH 1 BODY.PEEK[]')).toMatch(/BODY\[\] \{5\}\r\nno 3\n\)/)
  expect(await client.ask('f NOOP')).toMatch(/^\* 1 EXPUNGE\r\n\* 1 EXPUNGE\r\n/)
})

function shown(uid: number, flags: readonly string[] = []): ShownMessage {
  const octets = Buffer.from(`no ${uid}\n`)
  return { uid, flags, internalDate: new Date(0), bytes: octets.length, content: () => octets }
}

test('a trusted balancer’s header is read, and a balancer that sends none is told', async () => {
  const compiled = compileCidrSet(['127.0.0.1'])
  if (!compiled.ok) throw new Error('no network')
  const trust = createTrustRule({ mode: 'require', networks: compiled.set })
  const { port } = await serve({ proxy: { trust } })
  const client = plain(port)
  client.say('PROXY TCP4 203.0.113.7 192.0.2.1 1000 143\r\n')
  await client.until(/ready\r\n/)
  const silent = plain(port)
  silent.say('a NOOP\r\n')
  expect(await silent.until(/\r\n/)).toBe('* BYE [UNAVAILABLE] imap.example PROXY header required\r\n')
})

test('too many connections, and a server that closes, are told', async () => {
  const { server, port } = await serve({ maxConnections: 1 })
  const client = plain(port)
  await client.until(/ready\r\n/)
  expect(await plain(port).until(/\r\n/)).toBe(
    '* BYE [UNAVAILABLE] imap.example Too many connections, try again later\r\n',
  )
  expect(server.connections).toBe(1)
  const closing = server.close()
  expect(await client.until(/\r\n/)).toBe('* BYE [UNAVAILABLE] imap.example Shutting down\r\n')
  await closing
  expect(server.connections).toBe(0)
})

test('a program may take UNAUTHENTICATE away', async () => {
  const { port } = await serve({ tls: { ...tls, mode: 'implicit' }, mayUnauthenticate: false })
  const client = secure(port)
  expect(await client.ask('a LOGIN ann secret')).not.toContain('UNAUTHENTICATE')
  expect(await client.ask('b UNAUTHENTICATE')).toMatch(/^b BAD /)
})

test('what the program throws is unavailable, and told', async () => {
  const { port, faults } = await serve({
    tls: { ...tls, mode: 'implicit' },
    authenticate: () => {
      throw new Error('the directory is down')
    },
  })
  const client = secure(port)
  expect(await client.ask('a LOGIN ann secret')).toMatch(/a NO \[UNAVAILABLE\]/)
  expect(faults).toEqual([new Error('the directory is down')])
})

test('acting for another, and signing in where nobody can, is refused', async () => {
  const { port } = await serve({ tls: { ...tls, mode: 'implicit' } })
  const client = secure(port)
  const response = Buffer.from('bob\0ann\0secret').toString('base64')
  expect(await client.ask(`a AUTHENTICATE PLAIN ${response}`)).toMatch(/a NO \[AUTHORIZATIONFAILED\]/)
  const nobody = await serve({ tls: { ...tls, mode: 'implicit' }, authenticate: undefined as never })
  const other = secure(nobody.port)
  expect(await other.until(/ready\r\n/)).toMatch(/LOGINDISABLED/)
})

test('a handshake that comes to nothing is told, and ends the connection', async () => {
  const { port, faults } = await serve({ tls: { ...tls, mode: 'implicit' } })
  const client = plain(port)
  client.say('a NOOP\r\n')
  await client.closed()
  await expect.poll(() => faults.length).toBe(1)
})

test('a certificate that cannot be used is told at once', () => {
  expect(() => createImapServer({ hostname: 'x', store: new MemoryStore(), tls: { cert: 'x', key: 'y' } })).toThrow(
    'PEM',
  )
})
