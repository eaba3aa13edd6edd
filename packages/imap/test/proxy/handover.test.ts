import { expect, test } from 'vitest'
import { dialogue, play, ProxySession } from './scripted.ts'

const signedIn = `
  C: a LOGIN ann secret
  !dial
  B: * OK [CAPABILITY IMAP4rev1] ready
  P: L LOGIN "ann" "secret"
  B: L OK [CAPABILITY IMAP4rev1] in
  S: a OK *
`

test(
  'a worker that stops says BYE to who is idle at once',
  dialogue(
    {},
    `
    ${signedIn}
    !stop
    S: * BYE [UNAVAILABLE] imap.example Shutting down
    !gone
    !close stopping
    `,
  ),
)

test('and to who is read to behind the response under way (4.4.21)', async () => {
  const session = new ProxySession()
  await play(session, `S: * OK *\n${signedIn}`)
  session.backend?.stream.write('* 1 FETCH (BODY[] {10}\r\nhal')
  await play(session, 'S: * 1 FETCH (BODY[] {10}\n!stop\nC: b NOOP\nP: b NOOP')
  session.backend?.stream.write('f\r\nand.)\r\n')
  await play(session, 'S: half\nS: and.)\nS: * BYE [UNAVAILABLE] imap.example Shutting down\n!close stopping')
})

test(
  'a command that is under way is waited for',
  dialogue(
    {},
    `
    ${signedIn}
    C: b APPEND INBOX {5}
    P: b APPEND INBOX {5}
    !stop
    B: + go on
    S: + go on
    C: hello
    P: hello
    B: b OK done
    S: b OK done
    S: * BYE [UNAVAILABLE] imap.example Shutting down
    !close stopping
    `,
  ),
)

test('inside a literal there is nothing to say when the time is up', async () => {
  const session = new ProxySession()
  await play(session, `S: * OK *\n${signedIn}`)
  session.backend?.stream.write('* 1 FETCH (BODY[] {10}\r\nhal')
  await play(session, 'S: * 1 FETCH (BODY[] {10}\n!cut\n!close stopping')
  expect(session.text).toBe('hal')
})

test(
  'between two responses there is',
  dialogue(
    {},
    `
    ${signedIn}
    !cut
    S: * BYE [UNAVAILABLE] imap.example Internal error
    !close stopping
    `,
  ),
)

test(
  'nor may a word of ours stand in what is compressed',
  dialogue(
    {},
    `
    ${signedIn}
    C: b COMPRESS DEFLATE
    P: b COMPRESS DEFLATE
    B: b OK active
    S: b OK active
    !stop
    C: opaque
    P: opaque
    !cut
    !close stopping
    `,
  ),
)

test.each(['!hangup', '!lost'])('BK-14: a backend that is gone without a word is told of (%s)', async (end) => {
  await dialogue(
    {},
    `
    ${signedIn}
    ${end}
    S: * BYE [UNAVAILABLE] imap.example No server behind this one answers now
    !close backend-lost
    `,
  )()
})

test(
  'one that took its leave is not',
  dialogue(
    {},
    `
    ${signedIn}
    C: b LOGOUT
    P: b LOGOUT
    B: * BYE see you
    B: b OK done
    !hangup
    S: * BYE see you
    S: b OK done
    !close quit
    `,
  ),
)

test('a backend that is gone in the middle of a message: the connection ends, and nothing is added to it', async () => {
  const session = new ProxySession()
  await play(session, `S: * OK *\n${signedIn}`)
  session.backend?.stream.write('* 1 FETCH (BODY[] {10}\r\nhal')
  await play(session, 'S: * 1 FETCH (BODY[] {10}\n!hangup\n!close backend-lost')
  expect(session.text).toBe('hal')
})
