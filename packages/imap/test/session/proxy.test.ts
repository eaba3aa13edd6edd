import { expect, test } from 'vitest'
import { refusalResponse } from '../../src/index.ts'
import { dialogue, TestSession, type DialogueSetup } from '../dialogue.ts'

const v1 = 'PROXY TCP4 203.0.113.9 10.0.0.1 45678 143\r\n'
const v2 = '\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c0123456789ab'

function observed(setup: DialogueSetup = {}): { session: TestSession; told: string[] } {
  const told: string[] = []
  const observer = {
    refused: ({ reason, detail }: { reason: string; detail: string }) => void told.push(`${reason}: ${detail}`),
  }
  return { session: new TestSession({ ...setup, observer }), told }
}

test.for([
  ['v1', v1],
  ['v2', v2],
])('W4: a %s header from a direct client is refused, and the log says how to mend it', async ([, header]) => {
  const { session, told } = observed()
  await session.start()
  session.take()
  await session.send(header ?? '')
  expect(session.take()).toBe('* BYE [UNAVAILABLE] imap.example PROXY header from an untrusted network\r\n')
  expect(session.closed).toBe('refused')
  expect(told).toEqual([
    'proxy-untrusted: 203.0.113.7 sent a PROXY header but is in no trusted network of listener imap: add it to trusted-networks if it is your balancer',
  ])
})

test.for([
  ['v1', v1],
  ['v2', v2],
])('C8: the same for a %s header that comes a byte at a time', async ([, header]) => {
  const { session, told } = observed()
  await session.start()
  for (const byte of header ?? '') await session.send(byte)
  expect(session.closed).toBe('refused')
  expect(told).toHaveLength(1)
})

test.for(['PROXIMITY NOOP', 'P NOOP', 'PROXY NOOP', '\r\na NOOP', 'PROXY TCPX', 'PRO'])(
  'what only begins like a header is read as commands: %j',
  async (text) => {
    const { session, told } = observed()
    await session.start()
    session.take()
    await session.send(text.slice(0, 2))
    await session.send(`${text.slice(2)}\r\n`)
    expect(session.take()).toMatch(/^\S+ (?:OK|BAD) /)
    expect(session.closed).toBeUndefined()
    expect(told).toEqual([])
  },
)

test('S20: a second header in text is an unknown command, and counted', async () => {
  const { session, told } = observed({ origin: 'proxied' })
  await session.start()
  session.take()
  await session.send(`${v1}a NOOP\r\n`)
  expect(session.take()).toBe('PROXY BAD Command is not known\r\na OK Noop completed\r\n')
  expect(told.map((line) => line.split(':')[0])).toEqual(['proxy-again'])
})

test('S20: a second header in binary ends the connection', async () => {
  const { session, told } = observed({ origin: 'proxied' })
  await session.start()
  await session.send(v2)
  expect(session.closed).toBe('refused')
  expect(told.map((line) => line.split(':')[0])).toEqual(['proxy-again'])
})

test(
  'H11: later in the session a header is an unknown command',
  dialogue(
    { security: 'tls' },
    `
    S: * OK *
    C: a NOOP
    S: a OK *
    C: PROXY TCP4 203.0.113.9 10.0.0.1 45678 143
    S: PROXY BAD Command is not known
    `,
  ),
)

test.for([
  ['S18', 'proxy-timeout', '* BYE [UNAVAILABLE] mx PROXY timed out\r\n'],
  ['S12', 'proxy-malformed', '* BYE [UNAVAILABLE] mx PROXY header malformed\r\n'],
  ['J10', 'proxy-missing', '* BYE [UNAVAILABLE] mx PROXY header required\r\n'],
] as const)('%s: the words for %s', ([, refusal, words]) => {
  expect(refusalResponse(refusal, 'mx')).toBe(words)
})

test('S16: a decision of a policy, in the words of the configuration, on one line', () => {
  expect(refusalResponse({ verdict: 'drop', reason: 'listed' }, 'mx')).toBe('')
  expect(refusalResponse({ verdict: 'defer', reason: 'rate' }, 'mx')).toBe('* BYE [UNAVAILABLE] mx Try again later\r\n')
  expect(refusalResponse({ verdict: 'refuse', reason: 'listed' }, 'mx')).toBe('* BYE [ALERT] mx Access denied\r\n')
  const reply = { text: 'go\r\n* OK away é' }
  expect(refusalResponse({ verdict: 'refuse', reason: 'listed', reply }, 'mx')).toBe(
    '* BYE [ALERT] mx go * OK away\r\n',
  )
})
