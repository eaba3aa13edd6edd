/* One message to several places for a client that takes one verdict: who has it already gets it no second time. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { DeliveredJournal, DeliveredPair, DeliveryReply } from '../../src/index.ts'
import { TestSession, type Setup } from '../dialogue.ts'
import { MemoryDestination } from '../memory-destination.ts'

const busy = { code: 451, enhanced: '4.3.2', lines: ['Busy'] } as const
const spam = { code: 554, enhanced: '5.7.1', lines: ['Spam'] } as const
const lacking = '451 4.3.0 Not every recipient has the message, try again later'

class MemoryJournal implements DeliveredJournal {
  noted: string[] = []
  breaksAt: 'delivered' | 'note' | 'forget' | undefined

  delivered({ reversePath, forwardPath }: DeliveredPair): Promise<ReadonlySet<string>> {
    if (this.breaksAt === 'delivered') return Promise.reject(new Error('no disk'))
    const own = this.noted.filter((line) => line.startsWith(`${reversePath} ${forwardPath} `))
    return Promise.resolve(new Set(own.map((line) => line.split(' ')[2] ?? '')))
  }

  note(pairs: readonly DeliveredPair[], sha256: string): Promise<void> {
    if (this.breaksAt === 'note') return Promise.reject(new Error('no disk'))
    for (const { reversePath, forwardPath } of pairs) this.noted.push(`${reversePath} ${forwardPath} ${sha256}`)
    return Promise.resolve()
  }

  forget(pairs: readonly DeliveredPair[], sha256: string): Promise<void> {
    if (this.breaksAt === 'forget') return Promise.reject(new Error('no disk'))
    const gone = new Set(pairs.map(({ reversePath, forwardPath }) => `${reversePath} ${forwardPath} ${sha256}`))
    this.noted = this.noted.filter((line) => !gone.has(line))
    return Promise.resolve()
  }

  get recipients(): readonly string[] {
    return this.noted.map((line) => line.split(' ')[1] ?? '')
  }
}

/** A place that tells recipients apart and keeps what they were given. */
class EachDestination extends MemoryDestination {
  readonly got: string[] = []
  readonly refusals = new Map<string, DeliveryReply>()

  constructor() {
    super()
    this.eachReplies = {
      get: (name: string) => {
        const refusal = this.refusals.get(name)
        if (refusal === undefined) this.got.push(name)
        return refusal
      },
    } as unknown as ReadonlyMap<string, DeliveryReply>
  }
}

class Places {
  readonly a = new MemoryDestination()
  readonly b = new MemoryDestination()
  readonly each = new EachDestination()
  readonly journal = new MemoryJournal()
  readonly details: (string | undefined)[] = []

  get setup(): Setup {
    const upstreams: Record<string, MemoryDestination> = { a: this.a, b: this.b, each: this.each }
    const routes = ['ann@a', 'eve@a', 'bob@b', 'joe@each', 'pat@each'].map((name) => {
      const [, upstream = ''] = name.split('@')
      return [`${name}.example`, { to: 'upstream', upstream }] as const
    })
    return {
      journal: this.journal,
      upstreams,
      routes: Object.fromEntries(routes),
      observer: { transaction: ({ detail }) => this.details.push(detail) },
    }
  }

  /** @returns the last line that was heard. */
  async send(recipients: readonly string[], text = 'hello', more: Setup = {}): Promise<string> {
    const session = await new TestSession({ ...this.setup, ...more }).start()
    await session.ask('EHLO client.example')
    await session.ask('MAIL FROM:<sue@example.net>')
    for (const recipient of recipients) {
      const reply = await session.ask(`RCPT TO:<${recipient}>`)
      if (!reply.startsWith('250')) return reply.trimEnd()
    }
    await session.ask('DATA')
    const reply = await session.ask(`Subject: x\r\n\r\n${text}\r\n.`)
    await session.ask('QUIT')
    return reply.trimEnd()
  }

  counts(): readonly [a: number, b: number] {
    return [this.a.messages.length, this.b.messages.length]
  }
}

const both = ['ann@a.example', 'bob@b.example']

describe('4.2: a message to several places', () => {
  test('is taken when all have taken it, and nothing is remembered', async () => {
    const places = new Places()
    expect(await places.send(both)).toMatch(/^250 2\.0\.0 OK, taken as /)
    expect([places.counts(), places.journal.noted]).toEqual([[1, 1], []])
    expect([places.a.open, places.b.open]).toEqual([0, 0])
  })

  test('that one refuses for now comes again, and goes to that one only', async () => {
    const places = new Places()
    places.b.commitReply = busy
    expect(await places.send(both)).toBe(lacking)
    expect([places.counts(), places.journal.recipients]).toEqual([[1, 0], ['ann@a.example']])
    expect(places.details.at(-1)).toBe('1 of 2 recipients have the message; Busy')
    places.b.commitReply = undefined
    expect(await places.send(both)).toMatch(/^250 /)
    expect(places.counts()).toEqual([1, 1])
    expect([places.a.open, places.b.open]).toEqual([0, 0])
  })

  test('that all have is over: what comes with the same content is another one, as of programs that write no Date', async () => {
    const places = new Places()
    places.b.commitReply = busy
    await places.send(both)
    places.b.commitReply = undefined
    await places.send(both)
    expect(places.journal.noted).toEqual([])
    expect(await places.send(both)).toMatch(/^250 /)
    expect(places.counts()).toEqual([2, 2])
  })

  test('of other content is another one', async () => {
    const places = new Places()
    places.b.commitReply = busy
    await places.send(both)
    places.b.commitReply = undefined
    expect(await places.send(both, 'other words')).toMatch(/^250 /)
    expect(places.counts()).toEqual([2, 1])
  })

  test('that one refuses for good is refused, in its words; nobody sends it again, so nothing is remembered', async () => {
    const places = new Places()
    places.b.commitReply = busy
    expect(await places.send(both)).toBe(lacking)
    places.b.commitReply = spam
    expect(await places.send(both)).toBe('554 5.7.1 Spam')
    expect([places.counts(), places.journal.noted]).toEqual([[1, 0], []])
    places.b.commitReply = undefined
    expect(await places.send(both)).toMatch(/^250 /)
    expect(places.counts()).toEqual([2, 1])
  })

  test.each([
    ['for now, where one may still take it', busy, spam, '451 4.3.2 Busy'],
    ['for good, where both do', spam, { ...spam, lines: ['Spam, too'] }, '554 5.7.1 Spam'],
  ])('that nobody took is refused %s', async (_, ofA, ofB, expected) => {
    const places = new Places()
    places.a.commitReply = ofA
    places.b.commitReply = ofB
    expect(await places.send(both)).toBe(expected)
    expect(places.journal.noted).toEqual([])
  })

  test('that goes to one place has the words of that one', async () => {
    const places = new Places()
    places.a.commitReply = { code: 250, enhanced: '2.6.0', lines: ['Queued as 1A2B'] }
    expect(await places.send(['ann@a.example'])).toBe('250 2.6.0 Queued as 1A2B')
  })

  test('is taken back whole when one place is known to have failed before its end', async () => {
    const places = new Places()
    places.b.breaksAt = 'write'
    expect(await places.send(both)).toMatch(/^451 4\.3\.0 /)
    expect([places.counts(), places.journal.noted]).toEqual([[0, 0], []])
    places.b.breaksAt = undefined
    places.b.troubleNow = spam
    expect(await places.send(both)).toBe('554 5.7.1 Spam')
    expect([places.counts(), places.journal.noted]).toEqual([[0, 0], []])
    expect([places.a.open, places.b.open]).toEqual([0, 0])
  })

  test.each([
    ['a', 'b'],
    ['b', 'a'],
  ] as const)('that %s would refuse for good and %s for now is deferred', async (forGood, forNow) => {
    const places = new Places()
    places[forGood].troubleNow = spam
    places[forNow].troubleNow = busy
    expect(await places.send(both)).toBe('451 4.3.2 Busy')
    expect([places.counts(), places.journal.noted]).toEqual([[0, 0], []])
  })

  test('in one place some recipients may have it and others not', async () => {
    const places = new Places()
    const recipients = ['joe@each.example', 'pat@each.example', 'ann@a.example']
    places.each.refusals.set('pat@each.example', busy)
    expect(await places.send(recipients)).toBe(lacking)
    expect(places.journal.recipients).toEqual(['joe@each.example', 'ann@a.example'])
    places.each.refusals.clear()
    expect(await places.send(recipients)).toMatch(/^250 /)
    expect([places.each.got, places.counts()[0]]).toEqual([['joe@each.example', 'pat@each.example'], 1])
    expect([places.a.open, places.each.open]).toEqual([0, 0])
  })

  test('the same recipient twice is one', async () => {
    const places = new Places()
    places.b.commitReply = busy
    const twice = ['ann@a.example', 'ann@a.example', 'bob@b.example']
    await places.send(twice)
    places.b.commitReply = undefined
    expect(await places.send(twice)).toMatch(/^250 /)
    expect(places.counts()).toEqual([1, 1])
  })
})

describe('4.2: a journal that fails', () => {
  test('defers a recipient of whom nothing can be known', async () => {
    const places = new Places()
    places.journal.breaksAt = 'delivered'
    expect(await places.send(both)).toMatch(/^451 4\.3\.0 /)
    expect(places.counts()).toEqual([0, 0])
  })

  test('changes nothing in what all have', async () => {
    const places = new Places()
    places.b.commitReply = busy
    await places.send(both)
    places.b.commitReply = undefined
    places.journal.breaksAt = 'forget'
    expect(await places.send(both)).toMatch(/^250 /)
    expect(places.counts()).toEqual([1, 1])
  })

  test('is told to the operator; that the message may come twice is the lesser evil', async () => {
    const places = new Places()
    places.journal.breaksAt = 'note'
    places.b.commitReply = busy
    expect(await places.send(both)).toBe(lacking)
    expect(places.details.at(-1)).toContain('they will get it again: no disk')
  })
})

test('LM: places are bounded; the next recipient comes separately', async () => {
  const places = new Places()
  expect(await places.send(both, 'x', { limits: { maxPlaces: 1 } })).toMatch(/^452 4\.5\.3 /)
})

test('who takes a verdict for each recipient is told what is true, and nothing is remembered', async () => {
  const places = new Places()
  places.b.commitReply = busy
  const session = await new TestSession({
    ...places.setup,
    mode: 'lmtp',
    tls: 'gateway',
    hasAuthenticator: false,
  }).start()
  await session.ask('LHLO queue.example')
  await session.ask('MAIL FROM:<sue@example.net>')
  for (const recipient of both) await session.ask(`RCPT TO:<${recipient}>`)
  await session.ask('DATA')
  expect(await session.ask('Subject: x\r\n\r\nhello\r\n.')).toMatch(/^250 .*\r\n451 /)
  expect(places.journal.noted).toEqual([])
})

test('whatever fails in whatever order: a client that sends until it hears 250 has given it to each exactly once', async () => {
  const outcome = fc.constantFrom('taken', 'busy', 'busy', 'broken')
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(outcome, outcome, outcome, outcome), { maxLength: 6 }), async (rounds) => {
      const places = new Places()
      const recipients = ['joe@each.example', ...both, 'pat@each.example']
      let reply = ''
      for (const [a, b, joe, pat] of [...rounds, ['taken', 'taken', 'taken', 'taken'] as const]) {
        for (const [place, fate] of [
          [places.a, a],
          [places.b, b],
        ] as const) {
          place.commitReply = fate === 'busy' ? busy : undefined
          place.breaksAt = fate === 'broken' ? 'write' : undefined
        }
        places.each.refusals.clear()
        if (joe !== 'taken') places.each.refusals.set('joe@each.example', busy)
        if (pat !== 'taken') places.each.refusals.set('pat@each.example', busy)
        reply = await places.send(recipients)
        if (reply.startsWith('250')) break
        expect(reply).toMatch(/^451 /)
      }
      expect(reply).toMatch(/^250 /)
      expect(places.counts()).toEqual([1, 1])
      expect(places.each.got.toSorted()).toEqual(['joe@each.example', 'pat@each.example'])
      expect([places.a.open, places.b.open, places.each.open]).toEqual([0, 0, 0])
    }),
    { numRuns: 60 },
  )
})
