import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { clientLimits } from '../../src/limits.ts'
import { ReplyReader, type ReplyEvent } from '../../src/wire/reply-reader.ts'
import { encodeReply } from '../../src/wire/reply.ts'
import { everyCut } from '../cuts.ts'

/** All that comes of these segments; buffers are spoiled as soon as the reader has seen them. */
function read(segments: readonly string[], limits = clientLimits): ReplyEvent[] {
  const reader = new ReplyReader(limits)
  const events: ReplyEvent[] = []
  for (const segment of segments) {
    const bytes = Buffer.from(segment, 'latin1')
    reader.push(bytes)
    for (;;) {
      const event = reader.next()
      if (event.kind === 'more') break
      events.push(event)
      if (event.kind === 'bad') return events
    }
    bytes.fill(0x21)
  }
  return events
}

const reply = (code: number, lines: readonly string[], enhanced?: string): ReplyEvent => ({
  kind: 'reply',
  reply: enhanced === undefined ? { code, lines } : { code, lines, enhanced },
})

test.each<readonly [name: string, text: string, events: readonly ReplyEvent[]]>([
  ['one line', '250 OK\r\n', [reply(250, ['OK'])]],
  ['a code alone', '250\r\n', [reply(250, [''])]],
  ['a code and a blank', '250 \r\n', [reply(250, [''])]],
  ['several lines', '250-a\r\n250-b c\r\n250 \r\n', [reply(250, ['a', 'b c', ''])]],
  ['an enhanced code', '550 5.1.1 nobody\r\n', [reply(550, ['nobody'], '5.1.1')]],
  ['an enhanced code on each line', '550-5.1.1 a\r\n550 5.1.1 b\r\n', [reply(550, ['a', 'b'], '5.1.1')]],
  ['an enhanced code without words', '250 2.0.0\r\n', [reply(250, [''], '2.0.0')]],
  ['words that look like another class', '250 5.1.1 x\r\n', [reply(250, ['5.1.1 x'])]],
  ['an address', '220 4.3.2.1 ready\r\n', [reply(220, ['4.3.2.1 ready'])]],
  ['two replies', '250 a\r\n354 b\r\n', [reply(250, ['a']), reply(354, ['b'])]],
])('%s, cut in any way', (_, text, events) => {
  for (const segments of everyCut(text)) expect(read(segments)).toEqual(events)
})

test.each([
  ['no digits', 'yes\r\n'],
  ['two digits', '25 OK\r\n'],
  ['four digits', '2500 OK\r\n'],
  ['a class that does not exist', '650 OK\r\n'],
  ['a class that is not for replies', '150 OK\r\n'],
  ['another separator', '250_OK\r\n'],
  ['nothing', '\r\n'],
  ['two codes', '250-a\r\n251 b\r\n'],
  ['a NUL', '250 a\0b\r\n'],
  ['a bare LF', '250 a\n'],
  ['a bare CR', '250 a\rb\r\n'],
  ['TLS', '\u0015\u0003\u0001\u0000\u0002\u0002F\r\n'],
])('BK-03: %s is no reply', (_, text) => {
  for (const segments of everyCut(text)) expect(read(segments).map(({ kind }) => kind)).toEqual(['bad'])
})

describe('BK-03: bounds', () => {
  test('a line without an end', () => {
    expect(read([`250 ${'x'.repeat(10_000)}`])).toEqual([{ kind: 'bad', detail: 'a reply line too long' }])
  })

  test('a hundred lines are a reply, one more is none', () => {
    expect(read([`${'250-x\r\n'.repeat(99)}250 x\r\n`])).toMatchObject([{ kind: 'reply' }])
    expect(read(['250-x\r\n'.repeat(101)])).toEqual([{ kind: 'bad', detail: 'a reply with too many lines' }])
  })

  test('64 KiB in long lines', () => {
    expect(read([`250-${'x'.repeat(4_000)}\r\n`.repeat(17)])).toEqual([{ kind: 'bad', detail: 'a reply too long' }])
  })
})

test('what is no reply stays none, whatever follows', () => {
  const reader = new ReplyReader(clientLimits)
  reader.push(Buffer.from('what?\r\n250 OK\r\n'))
  expect(reader.next().kind).toBe('bad')
  expect(reader.next().kind).toBe('bad')
})

test('an unfinished reply is seen as one', () => {
  for (const text of ['2', '250-a\r\n']) {
    const reader = new ReplyReader(clientLimits)
    expect(reader.hasPending).toBe(false)
    reader.push(Buffer.from(text))
    expect(reader.next().kind).toBe('more')
    expect(reader.hasPending).toBe(true)
  }
})

const anyText = fc.string({ unit: fc.constantFrom('a', ' ', 'é', '-', '2', '.'), maxLength: 20 })

test('what we encode as a server we read as a client', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 200, max: 599 }),
      fc.array(anyText, { minLength: 1, maxLength: 5 }),
      (code, lines) => {
        const [event] = read([Buffer.from(encodeReply({ code, lines })).toString('latin1')])
        const again = event?.kind === 'reply' ? encodeReply(event.reply) : event?.kind
        expect(again).toBe(encodeReply({ code, lines }))
      },
    ),
  )
})

test('no bytes throw, and a cut changes nothing', () => {
  const bytes = fc.string({ unit: fc.constantFrom('2', '5', '0', '-', ' ', '\r', '\n', '\r\n', 'x', '\0', 'ÿ') })
  fc.assert(
    fc.property(bytes, fc.nat(), (text, at) => {
      const cut = at % (text.length + 1)
      expect(read([text.slice(0, cut), text.slice(cut)])).toEqual(read([text]))
    }),
  )
})
