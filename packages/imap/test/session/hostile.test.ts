import fc from 'fast-check'
import { expect, test } from 'vitest'
import { selectedInbox, signedIn, TestSession } from '../dialogue.ts'
import { MemoryStore } from '../memory-store.ts'

async function greeted(): Promise<TestSession> {
  const session = new TestSession({ security: 'tls' })
  await session.start()
  session.take()
  return session
}

test.for([
  ['2^31', '{2147483648}'],
  ['2^32-1', '{4294967295}'],
  ['2^32', '{4294967296}'],
  ['2^64-1', '{18446744073709551615}'],
  ['25 digits', '{1234567890123456789012345}'],
  ['negative', '{-1}'],
  ['decimal', '{1.5}'],
  ['hexadecimal', '{0xff}'],
  ['blanks', '{ 5 }'],
  ['leading zeros', '{00}'],
  ['100 MB', '{100000000}'],
  ['over the bound before login', '{1025}'],
  ['BINARY', '~{5}'],
])('IM-01: a literal before login of %s is not invited', async ([, announcement]) => {
  const session = await greeted()
  const answer = await session.ask(`a LOGIN ${announcement}`)
  expect(answer).toMatch(/^a (?:BAD |NO \[TOOBIG\] )[^+]*\r\n$/)
})

test.for(['SEARCH NOT SEEN', 'FETCH 1:* FLAGS', 'STORE 1:* +FLAGS (\\Seen)', 'LIST "" nothing', 'LSUB "" nothing'])(
  'IM-12: others have the event loop during %s',
  async (command) => {
    const store = new MemoryStore()
    const mailboxes = store.mailboxes('ann@example.org')
    for (let count = 0; count < 320; count += 1) {
      store.put('ann@example.org', 'INBOX', 'Subject: hi\r\n\r\nthere')
      mailboxes.set(`Box ${count}`, store.newMailbox())
    }
    const session = await selectedInbox({ store })
    for (const name of mailboxes.keys()) await session.ask(`s SUBSCRIBE "${name}"`)
    let turns = 0
    let next = setImmediate(function turn() {
      turns += 1
      next = setImmediate(turn)
    })
    await session.machine.receive(Buffer.from(`a ${command}\r\n`))
    clearImmediate(next)
    expect(session.take()).toMatch(/^a OK /m)
    expect(turns).toBeGreaterThanOrEqual(15)
  },
)

test.for(['{100000000+}', '{4294967295+}', '{99999999999999999999+}', '{-5+}', '~{0x5+}'])(
  'IM-02: a literal that does not wait and cannot be skipped ends the connection: %s',
  async (announcement) => {
    const session = await greeted()
    expect(await session.ask(`a LOGIN ${announcement}`)).toMatch(/^\* BYE /)
    expect(session.closed).toBe('protocol')
  },
)

test('IM-04: before login, LITERAL- allows 4096 octets and no more', async () => {
  const session = await greeted()
  await session.send(`a LOGIN {5000+}\r\n${'x'.repeat(5000)} {1+}\r\ny\r\nb NOOP\r\n`)
  expect(session.take()).toBe('a BAD [TOOBIG] Literal is too big to be sent without waiting\r\nb OK Noop completed\r\n')
})

test('IM-04: after login, LITERAL+ allows as many as literals that wait', async () => {
  const session = await signedIn()
  session.take()
  const long = 'x'.repeat(65_537)
  await session.send(`a STATUS {1000+}\r\n${long.slice(0, 1000)} (MESSAGES)\r\n`)
  expect(session.take()).toBe('a NO [NONEXISTENT] No such mailbox\r\n')
  await session.send(`b STATUS {65537+}\r\n${long} (MESSAGES)\r\nc NOOP\r\n`)
  expect(session.take()).toBe('b NO [TOOBIG] Literal is too big\r\nc OK Noop completed\r\n')
})

test('a literal8 where no message is expected is skipped', async () => {
  const session = await greeted()
  await session.send('a LOGIN ~{5+}\r\na\0b\0c {1+}\r\ny\r\nb NOOP\r\n')
  expect(session.take()).toBe('a BAD No literal8 is expected\r\nb OK Noop completed\r\n')
})

test('a refused message that was sent without waiting is skipped, up to a bound', async () => {
  const session = await signedIn({ limits: { maxSkippedLiteralBytes: 2_000_000 }, maxAppendBytes: 9_000_000 })
  session.take()
  await session.send('a APPEND nowhere {2000000+}\r\n')
  for (let sent = 0; sent < 20; sent += 1) await session.send('x'.repeat(100_000))
  await session.send('\r\nb NOOP\r\n')
  expect(session.take()).toBe('a NO [TRYCREATE] No such mailbox\r\nb OK Noop completed\r\n')
  await session.send('c APPEND nowhere {2000001+}\r\n')
  expect(session.take()).toBe('* BYE Command cannot be followed\r\n')
})

test('IM-17: an ID of 30 long pairs is a long line, and may be', async () => {
  const session = await greeted()
  const pairs = Array.from({ length: 30 }, (_, at) => `"${String(at).padStart(30, 'k')}" "${'v'.repeat(1024)}"`)
  expect(await session.ask(`a ID (${pairs.join(' ')})`)).toMatch(/^\* ID \([^]*\r\na OK ID completed\r\n$/)
  expect(await session.ask(`b ID (${pairs.join(' ')} "x" "y")`)).toMatch(/^b BAD /)
  expect(await session.ask(`c ID ("x" "${'v'.repeat(40_000)}")`)).toBe('* BYE Line is too long\r\n')
})

test.for(['('.repeat(100_000), '("'.repeat(50_000), '{('.repeat(50_000), 'A'.repeat(1_000_000)])(
  'IM-06, IM-07: a line without end before login is cut off by 8 KiB',
  async (text) => {
    const session = await greeted()
    await session.send(text.slice(0, 9000))
    expect(session.take()).toBe('* BYE Line is too long\r\n')
    expect(session.closed).toBe('protocol')
  },
)

test('IM-07: after login a long line is BAD, and one that never ends is cut off', async () => {
  const session = await signedIn()
  session.take()
  await session.send('a NOOP ')
  for (let sent = 0; sent < 10; sent += 1) await session.send('x'.repeat(10_000))
  await session.send('\r\nb NOOP\r\n')
  expect(session.take()).toBe('a BAD [TOOBIG] Line is too long\r\nb OK Noop completed\r\n')
  for (let sent = 0; sent < 200 && session.closed === undefined; sent += 1) await session.send('x'.repeat(10_000))
  expect(session.closed).toBe('protocol')
})

test.for([
  '+ NOOP',
  '* NOOP',
  '( NOOP',
  '{ NOOP',
  '" NOOP',
  '\\ NOOP',
  '% NOOP',
  '\x1b NOOP',
  `${'t'.repeat(8000)} NOOP`,
  '\0 NOOP',
  '\x80 NOOP',
  ' NOOP',
])('IM-07: a tag that is none is answered untagged and not echoed: %j', async (line) => {
  const session = await greeted()
  expect(await session.ask(line)).toBe('* BAD Command is malformed\r\n')
})

test('IM-19: bad commands in a row end the session, three before login and ten after', async () => {
  const session = await greeted()
  await session.send('GET / HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n')
  expect(session.take()).toMatch(/BYE Too many invalid commands\r\n$/)
  expect(session.closed).toBe('too-many-errors')
  const after = await signedIn()
  for (let count = 1; count < 10; count += 1) await after.ask('x FROBNICATE')
  expect(after.closed).toBeUndefined()
  await after.ask('x FROBNICATE')
  expect(after.closed).toBe('too-many-errors')
})

test('names that the language knows are no commands', async () => {
  for (const name of ['__proto__', 'constructor', 'toString', 'UID', 'UID LOGIN', 'hasOwnProperty']) {
    const session = await greeted()
    expect(await session.ask(`a ${name}`)).toMatch(/^a BAD Command is (?:not known|malformed)\r\n$/)
  }
})

test.for([
  '0',
  '4294967296',
  '1,,2',
  ',1',
  '1,',
  '1:0',
  '-1',
  '1:',
  ':1',
  '1:2:3',
  '01',
  '12345678901234567890',
  '1 :2',
  'a',
  '**',
])('IM-10: the set %s is BAD', async (set) => {
  const store = new MemoryStore()
  store.put('ann@example.org', 'INBOX', 'a: b\r\n\r\n')
  const session = await selectedInbox({ store })
  expect(await session.ask(`a UID FETCH ${set} FLAGS`)).toMatch(/^a BAD /)
})

test('IM-11: keywords are bounded, and names of the language are keywords like others', async () => {
  const store = new MemoryStore()
  store.put('ann@example.org', 'INBOX', 'a: b\r\n\r\n')
  const session = await selectedInbox({ store })
  expect(await session.ask('a STORE 1 +FLAGS (__proto__ constructor)')).toContain(
    'FLAGS (\\Recent __proto__ constructor)',
  )
  const many = Array.from({ length: 63 }, (_, index) => `k${index}`).join(' ')
  expect(await session.ask(`b STORE 1 +FLAGS (${many})`)).toBe('b NO [LIMIT] Too many keywords\r\n')
  expect(await session.ask(`c STORE 1 +FLAGS (${'k'.repeat(129)})`)).toBe('c NO [LIMIT] Too many keywords\r\n')
  expect(await session.ask('d STORE 1 +FLAGS (k1)')).toMatch(/d OK /)
})

test('a fault inside a response closes without a word that would be read as mail', async () => {
  const store = new MemoryStore()
  store.put('ann@example.org', 'INBOX', 'a: b\r\n\r\nbody')
  const session = await selectedInbox({ store })
  const inbox = store.mailboxes('ann@example.org').get('INBOX')
  const message = inbox?.messages.values().next().value
  session.take()
  // The content turns out to be shorter than it said.
  if (message !== undefined) Object.defineProperty(message.content, 'subarray', { value: () => Buffer.alloc(0) })
  await expect(session.send('a FETCH 1 BODY.PEEK[]\r\n')).rejects.toThrow('bytes are missing')
  session.machine.failed()
  expect(session.take()).toBe('* 1 FETCH (BODY[] {12}\r\n')
})

test('a fault elsewhere says BYE', async () => {
  const session = await signedIn()
  session.take()
  session.machine.failed()
  expect(session.take()).toBe('* BYE [UNAVAILABLE] imap.example Internal error\r\n')
})

const script =
  'a CAPABILITY\r\nb LOGIN {3}\r\nann "secret"\r\nc SELECT INBOX\r\nd FETCH 1 (FLAGS BODY.PEEK[HEADER.FIELDS ({7+}\r\nSubject)])\r\n' +
  'e IDLE\r\nDONE\r\nf APPEND INBOX {9}\r\na: b\r\n\r\nx\r\ng SEARCH SUBJECT {2+}\r\nhi\r\nh FOO {3}\r\ni AUTHENTICATE\r\nj LOGOUT\r\n'

async function transcript(pieces: readonly string[]): Promise<string> {
  const store = new MemoryStore()
  store.put('ann@example.org', 'INBOX', 'Subject: hi\r\n\r\nthere')
  const session = new TestSession({ security: 'tls', store })
  await session.start()
  for (const piece of pieces) if (piece !== '') await session.send(piece)
  return session.take()
}

test('IM-13: any split of the input gives the same responses', async () => {
  const whole = await transcript([script])
  expect(whole).toMatch(/j OK Logout completed\r\n$/)
  expect(await transcript(script.split(''))).toBe(whole)
  await fc.assert(
    fc.asyncProperty(fc.array(fc.nat(script.length), { maxLength: 12 }), async (cuts) => {
      const sorted = [0, ...cuts.toSorted((a, b) => a - b), script.length]
      const pieces = sorted.slice(1).map((end, index) => script.slice(sorted[index], end))
      expect(await transcript(pieces)).toBe(whole)
    }),
    { numRuns: 60 },
  )
})

test('no input throws, before login or in a mailbox', async () => {
  const words = fc.constantFrom(
    'a',
    ' ',
    'UID ',
    'FETCH',
    'SEARCH',
    'STORE',
    'LIST',
    'APPEND',
    'STATUS',
    'COPY',
    'LOGIN',
    '1:*',
    '1',
    '(',
    ')',
    '"',
    '\\',
    '{3}\r\n',
    '{2+}\r\n',
    'INBOX',
    'BODY[',
    ']',
    '<0.1>',
    'HEADER.FIELDS',
    'FLAGS',
    '+',
    '\r\n',
    '\n',
    '\r',
    '\0',
    '\xff',
    '&',
    '*',
    '%',
    'OR',
    'NOT',
    'BODY',
    'ENVELOPE',
  )
  const input = fc.array(fc.oneof(words, fc.string({ unit: 'binary-ascii', maxLength: 4 })), { maxLength: 30 })
  await fc.assert(
    fc.asyncProperty(input, fc.boolean(), async (pieces, isSelected) => {
      const store = new MemoryStore()
      store.put('ann@example.org', 'INBOX', 'Subject: hi\r\n\r\nthere')
      const session = isSelected ? await selectedInbox({ store }) : await greeted()
      session.take()
      for (const piece of pieces) if (piece !== '') await session.send(piece)
      await session.send('\r\n')
      // Whatever came in, only whole lines go out.
      expect(session.take()).toMatch(/^(?:|[^]*\r\n)$/)
    }),
    { numRuns: 300 },
  )
})

test('IM-12: RECURSIVEMATCH asks each mailbox once, however deep and however the pattern is made', async () => {
  const store = new MemoryStore()
  const mailboxes = store.mailboxes('ann@example.org')
  const deep = Array.from({ length: 12 }, (_, level) => `level ${level}`).join('/')
  for (let count = 0; count < 300; count += 1) {
    mailboxes.set(`${deep}/${count}`, store.newMailbox())
    store.subscribedNames.add(`${deep}/${count}`)
  }
  const session = await signedIn({ store })
  const started = process.threadCpuUsage()
  const answer = await session.ask(`a LIST (SUBSCRIBED RECURSIVEMATCH) "" "${'*l'.repeat(12)}*1"`)
  expect(answer).toMatch(/^a OK /m)
  expect(process.threadCpuUsage(started).user).toBeLessThan(2_000_000)
})
