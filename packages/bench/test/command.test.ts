import { expect, test } from 'vitest'
import { count, UsageError } from '../src/command.ts'

test.each(['1', '15', '9999', '10000'])('%s is a count', (text) => {
  expect(count('rounds', text)).toBe(Number(text))
})

test.each(['0', '10001', '99999', '1e3', '-1', '+1', '1.5', '', ' 1', '0x10'])('%o is none', (text) => {
  expect(() => count('rounds', text)).toThrow(UsageError)
})
