// LMTP gives a verdict for each recipient (RFC 2033 §4.2), and an SMTP client takes one for all.
import { expect, test } from 'vitest'
import { Client } from './relaying.ts'
import { ScriptedBackend } from './scripted-backend.ts'

const lmtp = { protocol: 'lmtp', lmtpRecipients: 'together' } as const

/** Three recipients, and these verdicts. */
const verdicts = (...replies: readonly string[]): string => `
  S: 220 store.example LMTP
  C: LHLO gate.example
  S: 250-store.example
  S: 250 PIPELINING
  C: MAIL FROM:<bob@example.com>
  C: RCPT TO:<ann@example.org>
  S: 250 OK
  S: 250 OK
  C: RCPT TO:<eve@example.org>
  S: 250 OK
  C: RCPT TO:<ann@example.org>
  S: 250 OK
  C: DATA
  S: 354 go on
  C: hello
  C: .
  ${replies.map((reply) => `S: ${reply}`).join('\n')}
`

async function sendToThree(client: Client): Promise<string> {
  for (const recipient of ['ann@example.org', 'eve@example.org', 'ann@example.org']) await client.recipient(recipient)
  return client.message('hello\r\n')
}

const classes = ['250 2.1.5', '450 4.2.1', '550 5.1.1'] as const
const mixes = classes.flatMap((a) => classes.flatMap((b) => classes.map((c) => [a, b, c] as const)))

test.each(mixes)('BK-06: %s, %s, %s', async (...replies) => {
  const backend = await ScriptedBackend.start(`${verdicts(...replies)}C: QUIT\nS: 221 bye`)
  const client = new Client([backend], lmtp)
  const [code = ''] = (await sendToThree(client)).split(' ')
  const said = new Set(replies.map(([first]) => first))
  const withoutAcceptance = said.has('4') ? '450' : '550'
  const withAcceptance = said.size === 1 ? '250' : '451'
  expect(code).toBe(said.has('2') ? withAcceptance : withoutAcceptance)
  expect(client.events).toEqual([{ backend: `127.0.0.1:${backend.port}`, replies: [...replies] }])
  await client.delivery.abort()
  await backend.ended()
  expect(backend.surprises).toEqual([])
})

test('BK-06: each verdict is told to the operator', async () => {
  const backend = await ScriptedBackend.start(verdicts('250 ok', '550 no', '250 ok'))
  const client = new Client([backend], lmtp)
  for (const recipient of ['ann@example.org', 'eve@example.org', 'ann@example.org']) await client.recipient(recipient)
  await client.delivery.write(Buffer.from('hello\r\n'))
  const name = `127.0.0.1:${backend.port} said`
  expect(await client.delivery.commit()).toMatchObject({
    code: 451,
    detail: `${name}: 250 ok; ${name}: 550 no; ${name}: 250 ok`,
  })
})

test('a client of LMTP gets each verdict', async () => {
  const client = new Client([await ScriptedBackend.start(verdicts('250 ok', '550 no', '250 ok'))], lmtp)
  for (const recipient of ['ann@example.org', 'eve@example.org', 'ann@example.org']) await client.recipient(recipient)
  await client.delivery.write(Buffer.from('hello\r\n'))
  expect((await client.delivery.commitEach?.())?.map(({ code }) => code)).toEqual([250, 550, 250])
})

test('and a verdict on the whole message for each recipient', async () => {
  const script = verdicts()
    .replace('S: 354 go on', 'S: 452 4.3.1 full')
    .replace(/C: hello[^]*/, 'C: QUIT\nS: 221 bye')
  const client = new Client([await ScriptedBackend.start(script)], lmtp)
  for (const recipient of ['ann@example.org', 'eve@example.org', 'ann@example.org']) await client.recipient(recipient)
  await client.delivery.write(Buffer.from('hello\r\n'))
  expect((await client.delivery.commitEach?.())?.map(({ code }) => code)).toEqual([452, 452, 452])
})

test('BK-04: a connection lost among the verdicts leaves the rest in doubt', async () => {
  const client = new Client([await ScriptedBackend.start(`${verdicts('250 ok', '250 ok')}!close`)], lmtp)
  expect(await sendToThree(client)).toMatch(/^451 /)
  expect(client.codes).toEqual(['SMTP_UPSTREAM_IN_DOUBT', undefined])
})

test('BK-06: by default the second recipient comes separately, so that no verdict is lost', async () => {
  const backend = await ScriptedBackend.start(`
    S: 220 store.example LMTP
    C: LHLO gate.example
    S: 250 store.example
    C: MAIL FROM:<bob@example.com>
    S: 250 OK
    C: RCPT TO:<nobody@example.org>
    S: 550 no
    C: RCPT TO:<ann@example.org>
    S: 250 OK
    C: DATA
    S: 354 go on
    C: hello
    C: .
    S: 550 5.2.2 full for ever
    C: QUIT
    S: 221 bye
  `)
  const client = new Client([backend], { protocol: 'lmtp' })
  expect(await client.recipient('nobody@example.org')).toBe('550 no')
  expect(await client.recipient()).toBe('250 OK')
  expect(await client.recipient('eve@example.org')).toMatch(/^452 4\.5\.3 /)
  expect(await client.message('hello\r\n')).toBe('550 5.2.2 full for ever')
  await client.delivery.abort()
  await backend.ended()
  expect(backend.surprises).toEqual([])
})

test('a UNIX socket is a backend, too', async () => {
  const client = new Client([{ path: '/nowhere/lmtp' }], { protocol: 'lmtp' })
  expect(await client.recipient()).toMatch(/^451 4\.4\.1 /)
  expect(client.events).toEqual([{ backend: '/nowhere/lmtp', code: 'SMTP_UPSTREAM_UNREACHABLE', detail: 'ENOENT' }])
})
