import { describe, expect, test } from 'vitest'
import { mergeRefusals } from '../../page/refusals.ts'
import { Rates, Series } from '../../page/series.ts'
import type { Totals } from '../../src/admin/status.ts'
import type { Refusal } from '../../src/observe/incidents.ts'

function totals(accepted: number, more: Partial<Totals> = {}): Totals {
  return {
    open: 3,
    accepted,
    outcomes: {},
    bytesIn: accepted * 100,
    bytesOut: 0,
    commands: 0,
    transactions: {},
    messageBytes: 0,
    authentications: {},
    headers: {},
    headersRefused: {},
    refused: {},
    tls: {},
    handshakesFailed: 0,
    ...more,
  }
}

describe('what happens each second', () => {
  test('is what was counted between two events, whatever time is between them', () => {
    const series = new Series()
    series.add(1000, totals(10))
    expect(series.moments).toEqual([])
    series.add(
      3000,
      totals(30, { transactions: { '2yz': 4 }, headersRefused: { 'not-trusted': 2 }, refused: { rate: 6 } }),
    )
    expect(series.latest).toMatchObject({
      at: 3,
      open: 3,
      accepted: 10,
      bytesIn: 1000,
      transactionsDone: 2,
      transactionsDeferred: 0,
      refused: 4,
    })
  })

  test('a supervisor that was started anew begins a new picture, and no burst', () => {
    const series = new Series()
    series.add(1000, totals(1000))
    series.add(2000, totals(1010))
    series.add(3000, totals(2))
    expect(series.moments).toEqual([])
    series.add(4000, totals(5))
    expect(series.latest?.accepted).toBe(3)
  })

  test('five minutes are kept, and an event that comes twice counts once', () => {
    const series = new Series()
    for (let second = 0; second <= 400; second++) series.add(second * 1000, totals(second))
    series.add(400_000, totals(400))
    expect(series.moments).toHaveLength(300)
    expect(series.moments[0]?.at).toBe(101)
  })

  test('of each listener; one that is new has none yet', () => {
    const rates = new Rates()
    expect(rates.take(1000, new Map([['mx', 5]])).size).toBe(0)
    expect([
      ...rates.take(
        3000,
        new Map([
          ['mx', 9],
          ['imap', 7],
        ]),
      ),
    ]).toEqual([['mx', 2]])
  })
})

function refusal(at: number, id: string, reason = 'rate'): Refusal {
  return { at, id, listener: 'mx', event: 'policy.refused', reason }
}

test('refusals that status and events both tell of are shown once, newest first', () => {
  const merged = mergeRefusals([refusal(3, 'c'), refusal(2, 'b')], [refusal(2, 'b'), refusal(1, 'a')], 2)
  expect(merged.map(({ id }) => id)).toEqual(['c', 'b'])
})

test('a flood of one reason leaves the other in sight', () => {
  let shown = mergeRefusals([refusal(1, 'stranger', 'not-trusted')], [], 2)
  for (let at = 2; at <= 1000; at++) shown = mergeRefusals([refusal(at, String(at))], shown, 2)
  expect(shown.map(({ id }) => id)).toEqual(['1000', '999', 'stranger'])
})
