// The client's side as a machine: bytes in, bytes out, without a socket.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { UpstreamDialogue, type Link } from '../../src/client/dialogue.ts'
import type { Answer } from '../../src/client/failures.ts'
import { clientLimits } from '../../src/index.ts'
import { everyCut } from '../cuts.ts'

class MemoryLink implements Link {
  sent = ''
  deadline: number | undefined
  isDestroyed = false

  async write(bytes: Buffer | string): Promise<void> {
    this.sent += bytes.toString()
  }

  setDeadline(ms: number | undefined): void {
    this.deadline = ms
  }

  destroy(): void {
    this.isDestroyed = true
  }
}

function start(): { readonly link: MemoryLink; readonly dialogue: UpstreamDialogue } {
  const link = new MemoryLink()
  return { link, dialogue: new UpstreamDialogue(link, clientLimits) }
}

const question = (command: string, patienceMs = 1_000) => ({ command: `${command}\r\n`, patienceMs })

const codesOf = (answers: readonly Answer[]): readonly (number | string)[] =>
  answers.map((answer) => (answer.ok ? answer.reply.code : answer.failure.code))

test('a group of commands goes out in one write, and is answered in order, cut in any way', async () => {
  for (const segments of everyCut('250 2.1.0 OK\r\n550-5.1.1 no\r\n550 5.1.1 body\r\n354 go\r\n')) {
    const { link, dialogue } = start()
    const asked = dialogue.askTogether([
      question('MAIL FROM:<>'),
      question('RCPT TO:<a@b>'),
      { ...question('DATA'), mayContinue: true },
    ])
    expect(link.sent).toBe('MAIL FROM:<>\r\nRCPT TO:<a@b>\r\nDATA\r\n')
    for (const segment of segments) dialogue.receive(Buffer.from(segment))
    expect(codesOf(await asked)).toEqual([250, 550, 354])
    expect(dialogue.failure).toBeUndefined()
  }
})

test('each command has its own time, from the reply before it', async () => {
  const { link, dialogue } = start()
  const asked = dialogue.askTogether([question('NOOP', 10), question('NOOP', 20)])
  expect(link.deadline).toBe(10)
  dialogue.receive(Buffer.from('250 OK\r\n'))
  expect(link.deadline).toBe(20)
  dialogue.timedOut()
  expect(codesOf(await asked)).toEqual([250, 'SMTP_UPSTREAM_TIMEOUT'])
  expect(link).toMatchObject({ deadline: undefined, isDestroyed: true })
})

test('the first failure is the answer to everything that waits, and to everything later', async () => {
  const { link, dialogue } = start()
  const asked = dialogue.askTogether([question('NOOP'), question('NOOP')])
  dialogue.receive(Buffer.from('250 OK\r\n421 4.3.2 going down\r\n'))
  dialogue.lost('closed')
  dialogue.receive(Buffer.from('250 OK\r\n'))
  expect(codesOf(await asked)).toEqual([250, 'SMTP_UPSTREAM_UNAVAILABLE'])
  expect(codesOf([await dialogue.ask(question('NOOP'))])).toEqual(['SMTP_UPSTREAM_UNAVAILABLE'])
  expect(link.sent).toBe('NOOP\r\nNOOP\r\n')
})

test.each([
  ['a reply', '250 OK\r\n', 'SMTP_UPSTREAM_STRAY_REPLY'],
  ['half a reply', '250', 'SMTP_UPSTREAM_STRAY_REPLY'],
  ['one of several lines', '250-OK\r\n', 'SMTP_UPSTREAM_STRAY_REPLY'],
  ['421', '421 idle too long\r\n', 'SMTP_UPSTREAM_UNAVAILABLE'],
  ['nonsense', 'hello\r\n', 'SMTP_UPSTREAM_REPLY'],
])('BK-03: %s before the question is never the reply to it', async (_, said, code) => {
  const { link, dialogue } = start()
  dialogue.receive(Buffer.from(said))
  expect(codesOf([await dialogue.ask(question('NOOP'))])).toEqual([code])
  expect(link.sent).toBe('')
})

test('data that is not taken in time has stalled', async () => {
  const { link, dialogue } = start()
  const asked = dialogue.ask({ ...question('DATA'), mayContinue: true })
  dialogue.receive(Buffer.from('354 go\r\n'))
  await asked
  const sending = dialogue.sendData(Buffer.from('x'))
  expect(link.deadline).toBe(clientLimits.blockPatienceMs)
  dialogue.timedOut()
  await sending
  expect(dialogue.failure?.code).toBe('SMTP_UPSTREAM_STALLED')
})

test('BK-05: half a reply before the end of the data is no reply to it', async () => {
  const { link, dialogue } = start()
  const asked = dialogue.ask({ ...question('DATA'), mayContinue: true })
  dialogue.receive(Buffer.from('354 go\r\n250 2.0'))
  await asked
  expect(codesOf(await dialogue.endData(Buffer.from('.\r\n'), { manner: 'smtp', recipients: 1 }))).toEqual([
    'SMTP_UPSTREAM_STRAY_REPLY',
  ])
  expect(link.sent).toBe('DATA\r\n')
})

test('no bytes throw, and memory has its bound', async () => {
  const bytes = fc.string({ unit: fc.constantFrom('250', '421', '354', '-', ' ', '\r\n', '\n', 'x', '\0') })
  await fc.assert(
    fc.asyncProperty(fc.array(bytes), async (segments) => {
      const { dialogue } = start()
      const asked = dialogue.askTogether([question('MAIL'), question('RCPT')])
      for (const segment of segments) dialogue.receive(Buffer.from(segment))
      dialogue.lost('closed')
      expect(codesOf(await asked)).toHaveLength(2)
    }),
  )
})
