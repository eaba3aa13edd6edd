import { describe, expect, test } from 'vitest'
import { limits } from '../../src/limits.ts'
import { CachedLookup } from '../../src/lookup/cached-lookup.ts'
import type { Lookup, LookupAnswer, LookupQuestion } from '../../src/lookup/lookup.ts'

let now = 0

function asking(recipient: string, client = '203.0.113.7'): LookupQuestion {
  return {
    kind: 'mail',
    protocol: 'smtp',
    listener: 'mx',
    connectionId: 'x',
    client: { address: client, port: 1 },
    recipient,
  }
}

function counting(answer: (count: number) => Promise<LookupAnswer>): Lookup & { count: number } {
  const lookup = {
    count: 0,
    ask: () => answer(++lookup.count),
    close: () => Promise.resolve(),
  }
  return lookup
}

const toInside = (): Promise<LookupAnswer> => Promise.resolve({ found: 'upstream', upstream: 'inside' })

function cached(lookup: Lookup, maxAgeMs = 1000, maxEntries = 3): CachedLookup {
  now = 0
  return new CachedLookup(lookup, { maxAgeMs, maxEntries, now: () => now })
}

describe('answers of a directory', () => {
  test('hold for their time, whoever the client is', async () => {
    const lookup = counting(toInside)
    const cache = cached(lookup)
    await cache.ask(asking('ann@a.example'))
    await cache.ask(asking('ann@a.example', '198.51.100.1'))
    expect(lookup.count).toBe(1)
    await cache.ask(asking('bob@a.example'))
    expect(lookup.count).toBe(2)
    now = 1000
    await cache.ask(asking('ann@a.example'))
    expect(lookup.count).toBe(3)
  })

  test('are bounded: the one not used for longest goes', async () => {
    const lookup = counting(toInside)
    const cache = cached(lookup)
    for (const name of ['a', 'b', 'c', 'a', 'd']) await cache.ask(asking(name))
    expect(lookup.count).toBe(4)
    await cache.ask(asking('a'))
    expect(lookup.count).toBe(4)
    await cache.ask(asking('b'))
    expect(lookup.count).toBe(5)
  })

  test('who asks the same at the same time is answered by one', async () => {
    const { promise, resolve } = Promise.withResolvers<LookupAnswer>()
    const lookup = counting(() => promise)
    const cache = cached(lookup)
    const both = Promise.all([cache.ask(asking('a')), cache.ask(asking('a'))])
    resolve({ found: 'store' })
    expect(await both).toEqual([{ found: 'store' }, { found: 'store' }])
    expect(lookup.count).toBe(1)
  })

  test('failures and refusals for now are asked about again', async () => {
    const lookup = counting((count) =>
      count === 1 ? Promise.reject(new Error('down')) : Promise.resolve({ found: 'refusal', isTemporary: true }),
    )
    const cache = cached(lookup)
    await expect(cache.ask(asking('a'))).rejects.toThrow('down')
    await cache.ask(asking('a'))
    await cache.ask(asking('a'))
    expect(lookup.count).toBe(3)
  })

  test('without a time nothing is kept', async () => {
    const lookup = counting(toInside)
    const cache = cached(lookup, 0)
    await cache.ask(asking('a'))
    await cache.ask(asking('a'))
    expect(lookup.count).toBe(2)
  })
})

describe('an answer that proved wrong', () => {
  test('is asked for anew', async () => {
    const lookup = counting(toInside)
    const cache = cached(lookup, 60_000)
    await cache.ask(asking('a'))
    now = limits.freshAnswerMs
    expect(cache.forget(asking('a'))).toBe(true)
    await cache.ask(asking('a'))
    expect(lookup.count).toBe(2)
  })

  test('is kept while it is young: guessing at names does not reach the directory each time', async () => {
    const lookup = counting(toInside)
    const cache = cached(lookup, 60_000)
    await cache.ask(asking('a'))
    now = limits.freshAnswerMs - 1
    expect(cache.forget(asking('a'))).toBe(false)
    await cache.ask(asking('a'))
    expect(lookup.count).toBe(1)
  })

  test('stands while the directory is down: a wrong guess takes nobody their way in', async () => {
    const lookup = counting((count) => (count === 1 ? toInside() : Promise.reject(new Error('down'))))
    const cache = cached(lookup, 60_000)
    const first = await cache.ask(asking('a'))
    now = limits.freshAnswerMs
    expect(cache.forget(asking('a'))).toBe(true)
    expect(await cache.ask(asking('a'))).toBe(first)
    // And it is young again: the next guess does not wait for the directory.
    expect(cache.forget(asking('a'))).toBe(false)
    expect(await cache.ask(asking('a'))).toBe(first)
    expect(lookup.count).toBe(2)
    now = 60_000
    await expect(cache.ask(asking('a'))).rejects.toThrow('down')
  })

  test('gives way to whatever the directory says now, a refusal for now as well', async () => {
    const refusal: LookupAnswer = { found: 'refusal', isTemporary: true }
    const lookup = counting((count) => (count === 2 ? Promise.resolve(refusal) : toInside()))
    const cache = cached(lookup, 60_000)
    await cache.ask(asking('a'))
    now = limits.freshAnswerMs
    cache.forget(asking('a'))
    expect(await cache.ask(asking('a'))).toEqual(refusal)
    await cache.ask(asking('a'))
    expect(lookup.count).toBe(3)
  })

  test('was none where nothing was known', () => {
    expect(cached(counting(toInside)).forget(asking('a'))).toBe(false)
  })
})
