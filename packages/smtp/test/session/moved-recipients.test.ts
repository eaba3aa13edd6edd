/* A recipient whose route was remembered too long: the router is asked again when the destination refuses (Router.reconsider). */
import { expect, test } from 'vitest'
import type { DeliveryReply } from '../../src/index.ts'
import { dialogue, type Setup } from '../dialogue.ts'
import { MemoryDestination } from '../memory-destination.ts'

const unknown = { code: 550, enhanced: '5.1.1', lines: ['No such user'] } as const
const busy = { code: 450, enhanced: '4.2.1', lines: ['Busy'] } as const

class Places {
  readonly a = new MemoryDestination()
  readonly b = new MemoryDestination()

  constructor(refusedByA: Record<string, DeliveryReply>, refusedByB: Record<string, DeliveryReply> = {}) {
    this.a.recipientReplies = new Map(Object.entries(refusedByA))
    this.b.recipientReplies = new Map(Object.entries(refusedByB))
  }

  get setup(): Setup {
    const a = { to: 'upstream', upstream: 'a' } as const
    const b = { to: 'upstream', upstream: 'b' } as const
    return {
      upstreams: { a: this.a, b: this.b },
      routes: { 'bob@a.example': a, 'eve@a.example': a },
      routesNow: { 'bob@a.example': b },
    }
  }
}

const begun = `
  S: 220 *
  C: HELO client.example
  S: 250 *
  C: MAIL FROM:<joe@example.net>
  S: 250 *`

const moved = new Places({ 'bob@a.example': unknown })
test('4.3.16: the place where the recipient is now is asked', async () => {
  await dialogue(
    moved.setup,
    `${begun}
    C: RCPT TO:<bob@a.example>
    S: 250 *
    C: DATA
    S: 354 *
    C: .
    S: 250 *`,
  )()
  expect([moved.a.messages.length, moved.b.messages.length]).toEqual([0, 1])
  expect([moved.a.open, moved.b.open]).toEqual([0, 0])
})

test(
  'what both places refuse is refused, in the words of the one where it should be',
  dialogue(
    new Places({ 'bob@a.example': unknown }, { 'bob@a.example': { ...unknown, lines: ['Nor here'] } }).setup,
    `${begun}
    C: RCPT TO:<bob@a.example>
    S: 550 5.1.1 Nor here`,
  ),
)

test(
  'a refusal for now says nothing of where somebody is',
  dialogue(
    new Places({ 'bob@a.example': busy }).setup,
    `${begun}
    C: RCPT TO:<bob@a.example>
    S: 450 4.2.1 Busy`,
  ),
)

test(
  'where the router knows no better, the refusal stands',
  dialogue(
    new Places({ 'eve@a.example': unknown }).setup,
    `${begun}
    C: RCPT TO:<eve@a.example>
    S: 550 5.1.1 No such user`,
  ),
)

test(
  'behind a recipient who is still there, the one who has moved comes separately',
  dialogue(
    new Places({ 'bob@a.example': unknown }).setup,
    `${begun}
    C: RCPT TO:<eve@a.example>
    S: 250 *
    C: RCPT TO:<bob@a.example>
    S: 452 4.5.3 *`,
  ),
)
