import { describe, expect, test } from 'vitest'
import { byConnections, byKey, rotate, type Member } from '../../src/upstream/balance.ts'

const member = (name: string, weight: number, connections = 0): Member => ({
  name,
  seat: name,
  weight,
  connections,
  turn: 0,
})
const weightOf = ({ weight }: Member): number => weight

describe('round robin', () => {
  test('gives each its weight, and nobody many turns in a row', () => {
    const members = [member('a', 5), member('b', 1), member('c', 1)]
    const firsts = Array.from({ length: 7 }, () => rotate(members, weightOf)[0]?.name)
    expect(firsts).toEqual(['a', 'a', 'b', 'a', 'c', 'a', 'a'])
  })

  test('says who comes next, should the first fail', () => {
    expect(rotate([member('a', 1), member('b', 3), member('c', 2)], weightOf).map(({ name }) => name)).toEqual([
      'b',
      'c',
      'a',
    ])
  })

  test('of nobody it is nobody', () => {
    expect(rotate([], weightOf)).toEqual([])
  })
})

test('least connections counts them against the weight', () => {
  const members = [member('a', 1, 2), member('b', 2, 4), member('c', 1, 1)]
  expect(byConnections(members, weightOf).map(({ name }) => name)).toEqual(['c', 'b', 'a'])
})

describe('by key', () => {
  const members = ['a', 'b', 'c', 'd'].map((name) => member(name, 1))
  const keys = Array.from({ length: 2000 }, (_, index) => `user${index}@example.org`)

  test('the same key finds the same backend, in whatever order they stand', () => {
    for (const key of keys.slice(0, 50)) {
      expect(byKey(members, key)[0]?.name).toBe(byKey(members.toReversed(), key)[0]?.name)
    }
  })

  test('when one goes away only its keys move, and to all others', () => {
    const rest = members.filter(({ name }) => name !== 'c')
    const moves = keys.map((key) => [byKey(members, key)[0]?.name, byKey(rest, key)[0]?.name] as const)
    expect(moves.filter(([before, after]) => before !== 'c' && before !== after)).toEqual([])
    const movedTo = new Set(moves.filter(([before]) => before === 'c').map(([, after]) => after))
    expect(movedTo.size).toBe(3)
  })

  test('shares follow the weights', () => {
    const weighted = [member('a', 1), member('b', 3)]
    const toB = keys.filter((key) => byKey(weighted, key)[0]?.name === 'b').length
    expect(toB / keys.length).toBeGreaterThan(0.7)
    expect(toB / keys.length).toBeLessThan(0.8)
  })
})
