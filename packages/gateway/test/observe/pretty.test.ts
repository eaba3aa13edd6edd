import { stripVTControlCharacters } from 'node:util'
import { expect, test } from 'vitest'
import { parseLogLine, prettyLine } from '../../src/observe/pretty.ts'

const record = {
  level: 'warn',
  time: 1_795_851_115_544,
  process: 'worker',
  pid: 7,
  event: 'proxy.refused',
  id: 'hhh0sf2bae62ck0o',
  reason: 'proxy-timeout',
  problems: [{ line: 1 }],
  msg: 'trusted peer 10.0.0.1 sent nothing',
}

test('a record for people has the sentence last, and nothing of processes', () => {
  expect(prettyLine(record, false)).toBe(
    '07:31:55.544 WARN  proxy.refused id=hhh0sf2bae62ck0o reason=proxy-timeout problems=[{"line":1}] — trusted peer 10.0.0.1 sent nothing',
  )
})

test('colours are for terminals, and say the same', () => {
  const painted = prettyLine(record, true)
  expect(painted).toContain('\u001B[33mWARN \u001B[0m')
  expect(stripVTControlCharacters(painted)).toBe(prettyLine(record, false))
})

test.each(['', 'null', '7', '[]', '"text"', '{"cut off', 'npm start'])('%j is no record', (line) => {
  expect(parseLogLine(line)).toBeUndefined()
})
