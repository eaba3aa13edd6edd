import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { limits } from '../../src/limits.ts'
import { IncidentBoard, Incidents, type Refusal } from '../../src/observe/incidents.ts'

const refusal = (id: number, reason = 'rate'): Refusal => ({
  at: id,
  id: String(id),
  listener: 'mx',
  event: 'policy.refused',
  reason,
})

describe('what an operator asks about first', () => {
  test('a worker tells the newest refusals, in their order, however many there were', () => {
    const incidents = new Incidents()
    for (let id = 1; id <= 1000; id++) incidents.refused(refusal(id))
    const ids = incidents.takeNews()?.refusals.map(({ at }) => at)
    expect(ids).toEqual(
      Array.from({ length: limits.maxRefusalsGathered }, (_, index) => 1001 - limits.maxRefusalsGathered + index),
    )
    expect(incidents.takeNews()).toBeUndefined()
  })

  test('the board keeps so many, newest first', () => {
    const board = new IncidentBoard()
    for (let id = 1; id <= 1000; id++) board.add({ refusals: [refusal(id)], peers: [] })
    expect(board.refusals().length).toBe(limits.maxRefusalsKept)
    expect(
      board
        .refusals()
        .slice(0, 2)
        .map(({ at }) => at),
    ).toEqual([1000, 999])
  })

  test('X1: a flood of one reason hides no other, in a worker and on the board', () => {
    const board = new IncidentBoard()
    const incidents = new Incidents()
    incidents.refused(refusal(1, 'not-trusted'))
    for (let id = 2; id <= 10_000; id++) {
      incidents.refused(refusal(id))
      if (id % 1000 === 0) board.add(incidents.takeNews()!)
    }
    expect(board.refusals()).toHaveLength(limits.maxRefusalsKept)
    expect(board.refusals().at(0)).toEqual(refusal(10_000))
    expect(board.refusals().at(-1)).toEqual(refusal(1, 'not-trusted'))
  })

  test('what was refused before the last look and heard of behind it is news', () => {
    const board = new IncidentBoard()
    board.add({ refusals: [refusal(1)], peers: [] })
    const looked = Date.now() + 1
    expect(board.refusals(looked)).toEqual([])
    vi.useFakeTimers({ now: looked })
    onTestFinished(() => void vi.useRealTimers())
    board.add({ refusals: [refusal(2)], peers: [] })
    expect(board.refusals(looked)).toEqual([refusal(2)])
  })

  test('X1: peers are counted together over workers; who was not seen for longest is forgotten first', () => {
    const board = new IncidentBoard()
    const [one, other] = [new Incidents(), new Incidents()]
    one.peer('untrusted-sender', 'mx', '192.0.2.1', 'trust it')
    one.peer('untrusted-sender', 'mx', '192.0.2.1', 'trust it')
    other.peer('untrusted-sender', 'mx', '192.0.2.1', 'trust it')
    other.peer('silent-peer', 'mx', '192.0.2.2', 'look at it')
    for (const worker of [one, other]) board.add(worker.takeNews()!)
    expect(board.peers('untrusted-sender')).toMatchObject([{ peer: '192.0.2.1', count: 3, mend: 'trust it' }])
    expect(board.peers('silent-peer')).toMatchObject([{ peer: '192.0.2.2', count: 1 }])

    for (let index = 0; index < 3 * limits.maxPeersKept; index++) {
      one.peer('untrusted-sender', 'mx', `198.51.100.${index}`, '')
      // Seen again and again: it stays.
      one.peer('untrusted-sender', 'mx', '192.0.2.1', 'trust it')
      board.add(one.takeNews()!)
    }
    const kept = board.peers('untrusted-sender')
    expect(kept.length).toBe(limits.maxPeersKept)
    expect(kept[0]).toMatchObject({ peer: '192.0.2.1', count: 3 + 3 * limits.maxPeersKept })
    expect(board.peers('silent-peer')).toEqual([])
  })
})
