// What a backend can do is what our EHLO offers, and what a client asks for by it reaches the backend.
import { createTransport } from 'nodemailer'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { listener } from '../kit/configuration.ts'
import { Dialogue, type SmtpReply } from '../kit/dialogue.ts'
import { startExim, type Exim } from '../kit/exim.ts'
import { startGateway, type Gateway } from '../kit/gateway.ts'
import { eventually } from '../kit/patience.ts'
import { freePorts } from '../kit/ports.ts'
import { startPostfix, type Postfix } from '../kit/postfix.ts'

let gateway: Gateway
let postfix: Postfix
let exim: Exim
let ports: Readonly<Record<'admin' | 'postfix' | 'exim' | 'both', number>>

function upstream(name: string, port: number): string {
  const backends = `[upstream.${name}]\nprotocol = "smtp"\nbackends = ["127.0.0.1:${port}"]`
  return `${backends}\n[upstream.${name}.health]\ninterval = "1s"`
}

function route(name: string, ...listeners: readonly string[]): string {
  return `[[route]]\nlisteners = ${JSON.stringify(listeners)}\nrecipients = ["${name}.example"]\nto = "${name}"`
}

beforeAll(async () => {
  ;[ports, postfix, exim] = await Promise.all([
    freePorts('admin', 'postfix', 'exim', 'both'),
    startPostfix({ domains: ['postfix.example'] }),
    startExim({ domain: 'exim.example' }),
  ])
  gateway = await startGateway({
    adminPort: ports.admin,
    accounts: [],
    config: [
      // Without accounts no mail goes into the store, which has no DSN.
      '[accounts]',
      ...(['postfix', 'exim', 'both'] as const).map((name) =>
        listener(name, { protocol: 'smtp', bind: ports[name], mode: 'off' }),
      ),
      upstream('postfix', postfix.ports.plain),
      upstream('exim', exim.ports.plain),
      route('postfix', 'postfix', 'both'),
      route('exim', 'exim', 'both'),
    ].join('\n\n'),
  })
})
afterAll(async () => {
  await Promise.all([gateway?.stop(), postfix?.stop(), exim?.stop()])
})

async function greeted(port: number): Promise<{ readonly client: Dialogue; readonly hello: SmtpReply }> {
  const client = await Dialogue.connect(port)
  await client.reply()
  return { client, hello: await client.ask('EHLO client.example.net') }
}

/** What is offered once the gateway has heard of the backends. */
function offered(port: number, expected: RegExp): Promise<string> {
  return eventually(`EHLO with ${expected}`, async () => {
    const { client, hello } = await greeted(port)
    client.destroy()
    return expected.test(hello.text) ? hello.text : undefined
  })
}

describe('EHLO', () => {
  test('offers what the backend offers, and no more', async () => {
    const before = await offered(ports.postfix, /^DSN$/m)
    expect(before).toMatch(/^8BITMIME$/m)
    expect(before).toMatch(/^SMTPUTF8$/m)
    // Postfix's own bound is less than ours.
    expect(before).toMatch(/^SIZE 10240000$/m)
    expect(before).not.toMatch(/^PRDR$/m)
    expect(await offered(ports.exim, /^PRDR$/m)).toMatch(/^DSN$/m)
    expect(before).not.toMatch(/^BINARYMIME$/m)
  })

  test('in front of two it is what both can do', async () => {
    const both = await offered(ports.both, /^DSN$/m)
    expect(both).not.toMatch(/^PRDR$/m)
    expect(both).toMatch(/^SIZE 10240000$/m)
  })
})

test('DSN by nodemailer: Postfix reports as the client asked, with its envelope id', async () => {
  await offered(ports.postfix, /^DSN$/m)
  const transport = createTransport({ host: '127.0.0.1', port: ports.postfix, secure: false, ignoreTLS: true })
  await transport.sendMail({
    envelope: {
      from: 'ann@postfix.example',
      to: ['bob@postfix.example'],
      dsn: { ret: 'HDRS', envid: 'a b+c', notify: ['SUCCESS', 'FAILURE'], orcpt: 'rfc822;list@postfix.example' },
    },
    subject: 'with DSN',
    text: 'hello',
  })
  transport.close()
  const report = await postfix.waitForMessage('Action: delivered')
  expect(report).toMatch(/^Original-Envelope-Id: a b\+c$/m)
  expect(report).toMatch(/^Original-Recipient: rfc822; ?list@postfix\.example$/m)
})

test('PRDR: the verdicts of Exim reach the client, one for each recipient', async () => {
  await offered(ports.exim, /^PRDR$/m)
  const { client } = await greeted(ports.exim)
  await client.ask('MAIL FROM:<bob@example.net> PRDR')
  for (const name of ['ann', 'picky', 'busy']) {
    expect((await client.ask(`RCPT TO:<${name}@exim.example>`)).code).toBe(250)
  }
  await client.ask('DATA')
  client.send('Subject: to each\r\n\r\nhello\r\n.\r\n')
  const codes: number[] = []
  for (let reply = 0; reply < 5; reply++) codes.push((await client.reply()).code)
  expect(codes).toEqual([353, 250, 550, 450, 250])
  client.destroy()
  expect(await exim.waitForMessage('Subject: to each')).toContain('Envelope-to: ann@exim.example\n')
})

test('TR-03: a gateway with routes is no open relay either', async () => {
  const foreign = [
    '<user@far.example>',
    '<user%far.example@example.org>',
    '<@postfix.example:user@far.example>',
    '<"user@far.example">',
    '<far.example!user>',
    '<user@far.example@postfix.example>',
    '<user@[127.0.0.1]>',
    '<user@postfix.example.>',
    '<user@POSTFIX.example.far.example>',
    '<user@exim.example>',
    '<user@sub.postfix.example>',
    '<user@p\u043estfix.example>',
    // Mailboxes of that domain to us, and to the backend perhaps a request to lead on.
    '<a%far.example@postfix.example>',
    '<"a@far.example"@postfix.example>',
    '<far.example!a@Postfix.Example>',
  ]
  await offered(ports.postfix, /^DSN$/m)
  const replies: string[] = []
  for (const sender of ['<x@example.net>', '<>', '<ann@postfix.example>']) {
    for (const recipient of foreign) {
      const { client } = await greeted(ports.postfix)
      await client.ask(`MAIL FROM:${sender} SMTPUTF8`)
      const { code } = await client.ask(`RCPT TO:${recipient}`)
      if (![500, 501, 550, 553].includes(code)) replies.push(`${code} to ${recipient} from ${sender}`)
      client.destroy()
    }
  }
  expect(replies).toEqual([])
  expect(postfix.log().filter((line) => /relay=(?!virtual|none)/.test(line))).toEqual([])
})
