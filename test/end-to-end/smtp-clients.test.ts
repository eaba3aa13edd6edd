// What SMTP clients do beside the plain way: pipelining, LMTP, XCLIENT, chunks, and a certificate shown to the balancer.
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { makeCertificate } from '../kit/certificates.ts'
import { listener } from '../kit/configuration.ts'
import { Dialogue } from '../kit/dialogue.ts'
import { ann, startGateway, type Account, type Gateway } from '../kit/gateway.ts'
import { readInbox, readMessage } from '../kit/mailbox.ts'
import { eventually } from '../kit/patience.ts'
import { freePorts } from '../kit/ports.ts'
import { ends, sslTlv, tlv, v2 } from '../kit/proxy-header.ts'
import { proxyV1, proxyV2, swaks } from '../kit/swaks.ts'

/**
 * Every name below the folder, whatever deep; but for notes on messages that were read, which are written a second later,
 * under the mailbox's lock.
 */
function filesIn(folder: string): readonly string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => !/\/(?:postern-notes(?:\.new)?$|postern-uidlist\.lock|tmp\/)/.test(name))
    .toSorted()
}

const ports = await freePorts('admin', 'mx', 'proxied', 'submission', 'proxiedSubmission', 'lmtp', 'imap')
const bob: Account = { name: 'bob@example.org', password: 'the password of bob' }
const carol: Account = { name: 'carol@example.org', password: 'the password of carol' }
let gateway: Gateway

beforeAll(async () => {
  const { cert, key } = await makeCertificate()
  const tables = [
    '[proxy]\ntrusted-networks = ["127.0.0.1"]',
    '[accounts]\nfile = "accounts.toml"\nclient-certificates = true',
    '[smtp]\nlocal-domains = ["example.org"]\nxclient-networks = ["127.0.0.50"]\nxforward-networks = ["127.0.0.51"]',
    listener('mx', { protocol: 'smtp', bind: ports.mx, tls: 'starttls', mode: 'off' }),
    listener('proxied', { protocol: 'smtp', bind: ports.proxied, mode: 'require' }),
    listener('submission', { protocol: 'submission', bind: ports.submission, tls: 'starttls', mode: 'off' }),
    listener('submission-proxied', { protocol: 'submission', bind: ports.proxiedSubmission, mode: 'require' }),
    listener('lmtp', { protocol: 'lmtp', bind: ports.lmtp, mode: 'off' }),
    listener('imap', { protocol: 'imap', bind: ports.imap, tls: 'starttls', mode: 'off' }),
    `[tls]\ncertificates = [{ cert = "${cert}", key = "${key}" }]`,
  ]
  gateway = await startGateway({
    config: tables.join('\n\n'),
    adminPort: ports.admin,
    accounts: [ann, bob, carol],
  })
})
afterAll(async () => {
  await gateway?.stop()
})

describe('swaks', () => {
  test.each([
    ['in the clear', []],
    ['with STARTTLS', ['--tls']],
    ['pipelined', ['--pipeline']],
  ])('delivers %s', async (how, args) => {
    const sent = await swaks({ port: ports.mx, to: bob.name, subject: `swaks ${how}`, args })
    expect(sent).toMatchObject({ code: 0 })
    expect(await readMessage(ports.imap, `swaks ${how}`, bob)).toContain('[127.0.0.1]')
  })

  test.each([
    ['v1', proxyV1('203.0.113.7')],
    ['v2', proxyV2('203.0.113.7')],
  ])('delivers pipelined behind a PROXY header: %s', async (version, header) => {
    const args = [...header, '--pipeline']
    expect(await swaks({ port: ports.proxied, to: bob.name, subject: `proxy ${version}`, args })).toMatchObject({
      code: 0,
    })
    expect(await readMessage(ports.imap, `proxy ${version}`, bob)).toContain('[203.0.113.7]')
  })

  test('LMTP: a reply for each recipient, the one that is named twice included', async () => {
    const to = [carol.name, 'nobody@example.org', bob.name, carol.name].join(',')
    const { stdout } = await swaks({ port: ports.lmtp, to, subject: 'by LMTP', args: ['--protocol', 'LMTP'] })
    expect(stdout).toMatch(/^<- {2}220 .* LMTP ready$/m)
    expect(stdout).toMatch(/^<\*\* 550 5\.1\.1 /m)
    expect(stdout.match(/250 2\.0\.0 OK, delivered as/g)).toHaveLength(3)
    expect(await readMessage(ports.imap, 'by LMTP', bob)).toMatch(/\bwith LMTP\b/)
    const copies = (await readInbox(ports.imap, carol)).filter((message) => message.includes('Subject: by LMTP'))
    expect(copies).toHaveLength(1)
  })

  test('XCLIENT from a listed front end: the message tells of the client that it announced', async () => {
    const xclient = [
      '--xclient',
      'NAME=client.example PORT=4242 ADDR=IPV6:2001:db8::5',
      '--local-interface',
      '127.0.0.50',
    ]
    expect(await swaks({ port: ports.mx, to: bob.name, subject: 'by XCLIENT', args: xclient })).toMatchObject({
      code: 0,
    })
    expect(await readMessage(ports.imap, 'by XCLIENT', bob)).toContain('(client.example [IPv6:2001:db8::5])')
    await gateway.waitForLog('the announcement', (record) => {
      return record.event === 'client.announced' && record['client'] === '2001:db8::5'
    })
  })

  test('PO-10: XCLIENT from anybody else is neither offered nor obeyed', async () => {
    for (const from of ['127.0.0.1', '127.0.0.51']) {
      const client = await Dialogue.connect(ports.mx, { from })
      await client.reply()
      expect((await client.ask('EHLO client.example.net')).text).not.toContain('XCLIENT')
      expect((await client.ask('XCLIENT ADDR=203.0.113.9 LOGIN=ann@example.org')).code).toBe(550)
      expect((await client.ask('EHLO client.example.net')).text).toContain(`[${from}]`)
      client.destroy()
    }
  })

  test('TR-08: a user may send as themselves or as nobody, and not as somebody else', async () => {
    const login = ['--tls', '--auth', 'PLAIN', '-au', ann.name, '-ap', ann.password]
    const as = (from: string) =>
      swaks({ port: ports.submission, to: bob.name, subject: 'submitted', args: [...login, '--from', from] })
    expect((await as(bob.name)).stdout).toMatch(/^<~\* 553 5\.7\.1 /m)
    expect(await as(ann.name)).toMatchObject({ code: 0 })
    expect(await as('<>')).toMatchObject({ code: 0 })
  })
})

/** What servers have been seen to end a message at, as `smtp/session/smuggling.test.ts` cuts it everywhere. */
const fakes = [
  '\n.\n',
  '\n.\r\n',
  '\r\n.\n',
  '\r\n.\r\r\n',
  '\r.\r',
  '\r.\r\n',
  '\r\n.\r',
  '\r.\n',
  '\n.\r',
  '\n..\r\n',
  '\r\r\n.\n',
  '\n\r.\r\n',
]

test.each([
  ['plain TCP', false],
  ['TLS records', true],
])(
  'SM-01, SM-02, SM-07: no end of data is found where there is none, a byte in each of the segments: %s',
  async (over, isSecure) => {
    const client = await Dialogue.connect(ports.mx)
    await client.reply()
    await client.ask('EHLO client.example.net')
    if (isSecure) {
      await client.ask('STARTTLS')
      await client.startTls()
      await client.ask('EHLO client.example.net')
    }
    const inner = `MAIL FROM:<evil@example.net>\r\nRCPT TO:<${carol.name}>\r\nDATA\r\n`
    for (const [index, fake] of fakes.entries()) {
      const head = `Subject: fake ${index} over ${over}\r\n\r\nbody`
      for (const byChunks of [false, true]) {
        await client.ask('MAIL FROM:<x@example.net>')
        await client.ask(`RCPT TO:<${bob.name}>`)
        if (byChunks) client.send(`BDAT ${head.length + fake.length + inner.length} LAST\r\n${head}`)
        else {
          await client.ask('DATA')
          client.send(head)
        }
        await client.sendInPieces(fake, 1)
        client.send(byChunks ? inner : `${inner}.\r\n`)
        expect((await client.reply()).code).toBe(250)
        // Nothing of what is inside was answered.
        expect((await client.ask('NOOP')).code).toBe(250)
        expect(client.pending.toString()).toBe('')
      }
    }
    client.destroy()
    expect((await readInbox(ports.imap, carol)).filter((message) => message.includes('evil@example.net'))).toEqual([])
    const mine = (await readInbox(ports.imap, bob)).filter((message) => message.includes(`over ${over}\r\n`))
    expect(mine).toHaveLength(2 * fakes.length)
    expect(mine.filter((message) => /[^\r]\n|\r(?!\n)/.test(message))).toEqual([])
  },
)

describe('an open relay is what this is not', () => {
  const foreign = [
    '<user@far.example>',
    '<user%far.example@mx.example.org>',
    '<user%far.example>',
    '<"user@far.example">',
    '<"user%far.example">',
    '<user@far.example@mx.example.org>',
    '<"user@far.example"@mx.example.org>',
    '<user@far.example@[127.0.0.1]>',
    '<@mx.example.org:user@far.example>',
    '<@[127.0.0.1]:user@far.example>',
    '<@example.org,@mx.example.org:user@far.example>',
    '<far.example!user>',
    '<far.example!user@mx.example.org>',
    '<far.example!user@[127.0.0.1]>',
    '<user@[203.0.113.9]>',
    '<user@[IPv6:2001:db8::9]>',
    '<user@localhost>',
    '<user@far.example.>',
    '<user@far.example\0@example.org>',
    '<user@far.example\n@example.org>',
    '<user(comment)@far.example>',
    '<user @far.example>',
    'user@far.example',
    '<user@FAR.Example>',
    '<user@example.org.far.example>',
    '<user@mx.example.org.>',
    '<user@xn--bcher-kva.example>',
    '<user@b\u00fccher.example>',
    '<user@ex\u00e4mple.org>',
    // Cyrillic, and a full stop of another script.
    '<user@ex\u0430mple.org>',
    '<user@far\u3002example>',
    '<postmaster@far.example>',
    '<>',
    '<@>',
  ]
  const routed = [
    '<a%far.example@example.org>',
    '<"a@far.example"@example.org>',
    '<far.example!a@example.org>',
    '<a%40far.example@example.org>',
    '<a\uff20far.example@example.org>',
    '<@example.org:a%far.example@example.org>',
    '<a%FAR.EXAMPLE@Example.ORG>',
    '<a%b\u00fccher.example@example.org>',
  ]

  test.each([
    ['TR-03', 'foreign forms', foreign],
    ['TR-04', 'forms that only look local', routed],
  ])('%s: %s, whoever sends them', async (_, __, recipients) => {
    for (const sender of ['<x@example.net>', '<>', `<${bob.name}>`, '<x@[127.0.0.1]>']) {
      const replies: string[] = []
      for (const recipient of recipients) {
        const client = await Dialogue.connect(ports.mx)
        await client.reply()
        await client.ask('EHLO client.example.net')
        await client.ask(`MAIL FROM:${sender} SMTPUTF8`)
        const { code } = await client.ask(`RCPT TO:${recipient}`)
        if (![500, 501, 550, 553].includes(code)) replies.push(`${code} to ${recipient} from ${sender}`)
        client.destroy()
      }
      expect(replies).toEqual([])
    }
  })
})

test('SC-09: a local part is never a path, a command or a list', async () => {
  const odd = [
    '""',
    '"."',
    '".."',
    '"../../x"',
    '../../x',
    'ann/../bob',
    '"ann/../bob"',
    '/etc/passwd',
    '|cat',
    '"|cat /etc/passwd"',
    ':include:/etc/passwd',
    '":include:/etc/passwd"',
    '~root',
    'ann+../../x',
    '"ann\\\\..\\\\bob"',
    'ann\uff0f..\uff0fbob',
    'x'.repeat(5_000),
  ]
  const before = filesIn(join(gateway.folder, 'data'))
  const replies: string[] = []
  for (const local of odd) {
    const client = await Dialogue.connect(ports.mx)
    await client.reply()
    await client.ask('EHLO client.example.net')
    await client.ask('MAIL FROM:<x@example.net> SMTPUTF8')
    const { code } = await client.ask(`RCPT TO:<${local}@example.org>`)
    if (![500, 501, 550, 553].includes(code)) replies.push(`${code} to ${local}`)
    client.destroy()
  }
  expect(replies).toEqual([])
  expect(filesIn(join(gateway.folder, 'data'))).toEqual(before)
})

test('SC-18: idle connections, and many that come and go, take nothing from the others and leave nothing behind', async () => {
  // Of several clients, since each may have a hundred.
  const coming = (count: number, network: string): Promise<readonly Dialogue[]> =>
    Promise.all(
      Array.from({ length: count }, (_, index) =>
        Dialogue.connect(ports.mx, { from: `${network}.${1 + (index % 4)}`, timeoutMs: 30_000 }),
      ),
    )
  const idle = await coming(300, '127.0.18')
  for (const client of idle) expect((await client.reply()).code).toBe(220)
  for (let round = 0; round < 2; round++) {
    for (const client of await coming(150, '127.0.19')) client.destroy()
  }
  const other = await Dialogue.connect(ports.mx)
  expect((await other.reply()).code).toBe(220)
  expect((await other.ask('EHLO client.example.net')).code).toBe(250)
  other.destroy()
  for (const client of idle) client.destroy()
  await eventually('every connection to be closed', () => {
    const ofMx = gateway.log.filter(({ listener: name }) => name === 'mx')
    const count = (event: string): number => ofMx.filter((record) => record.event === event).length
    return count('connection.open') >= 601 && count('connection.open') === count('connection.close') ? true : undefined
  })
})

describe('X3: a client certificate at the balancer', () => {
  test('that was verified signs in by EXTERNAL, and is trusted with one name alone', async () => {
    const { client, lines } = await offeredTo(0)
    expect(lines).toContainEqual(expect.stringMatching(/^AUTH .*\bEXTERNAL\b/))
    expect((await client.ask(`AUTH EXTERNAL ${Buffer.from(bob.name).toString('base64')}`)).code).toBe(535)
    expect((await client.ask('AUTH EXTERNAL =')).code).toBe(235)
    expect((await client.ask(`MAIL FROM:<${bob.name}>`)).code).toBe(553)
    expect((await client.ask(`MAIL FROM:<${ann.name}>`)).code).toBe(250)
    client.destroy()
  })

  test('that was not verified is worth nothing', async () => {
    const { client, lines } = await offeredTo(1)
    expect(lines).toContainEqual(expect.stringMatching(/^AUTH .*\bPLAIN\b/))
    expect(lines).not.toContainEqual(expect.stringMatching(/^AUTH .*\bEXTERNAL\b/))
    expect((await client.ask('AUTH EXTERNAL =')).code).toBe(504)
    client.destroy()
  })
})

/**
 * A session of a client that showed a certificate with the name of Ann to the balancer.
 *
 * @param verify - zero when the balancer found it good (PROXY protocol, section 2.2.6).
 */
async function offeredTo(verify: number): Promise<{ readonly client: Dialogue; readonly lines: readonly string[] }> {
  const client = await Dialogue.connect(ports.proxiedSubmission)
  const claim = sslTlv(7, verify, [tlv(0x21, 'TLSv1.3'), tlv(0x22, ann.name)])
  client.send(v2(ends, { tlvs: [claim], crc: true }))
  await client.reply()
  const { lines } = await client.ask('EHLO client.example.net')
  return { client, lines }
}
