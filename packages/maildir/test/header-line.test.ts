import { expect, test } from 'vitest'
import { encodeHeaderLine, isIntactHeader } from '../src/header-line.ts'

const line = encodeHeaderLine('postern-example 1 N0000000007', 64).toString('latin1')

test('a header has its length, and is a line', () => {
  expect(line).toMatch(/^postern-example 1 N0000000007 {25}H[0-9a-f]{8}\n$/)
  expect(line).toHaveLength(64)
  expect(isIntactHeader(line, 64)).toBe(true)
})

test('one that differs in any place is not whole', () => {
  for (let at = 0; at < line.length; at += 1) {
    const other = line[at] === '1' ? '2' : '1'
    expect(isIntactHeader(line.slice(0, at) + other + line.slice(at + 1), 64), `place ${at}`).toBe(false)
  }
})

test.for([
  ['shorter', line.slice(0, -1)],
  ['longer', `${line}\n`],
  ['whole, of another length', encodeHeaderLine('postern-example 1 N0000000007', 60).toString('latin1')],
  ['empty', ''],
] as const)('one that is %s is not whole', ([, text]) => {
  expect(isIntactHeader(text, 64)).toBe(false)
})
