// docs/conformance.md has a row for each rule of the PROXY protocol, and says where it is tested.
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'

const root = join(import.meta.dirname, '..')
const id = /\b(?:R-(?:G|V1|V2|TLV|CRC|SSL|UDP)|S|D)-\d\d\b/g

const rows = readFileSync(join(root, 'docs/conformance.md'), 'utf8')
  .split('\n')
  .filter((line) => /^\| [A-Z]/.test(line))
  .map((line) => line.split('|').map((cell) => cell.trim()))
  .map(([, row = '', , , , tests = '']) => ({ row, tests: [...tests.matchAll(/`([^`]+)`/g)].map(([, file]) => file) }))

/** Row to the files whose tests are named for it. What a comment says proves nothing. */
const tested = new Map<string, string[]>()
for (const file of globSync(['packages/*/test/**/*.test.ts', 'test/end-to-end/**/*.test.ts'], { cwd: root }).sort()) {
  const code = readFileSync(join(root, file), 'utf8')
    .replace(/\/\*[\s\S]*?\*\//g, '')
    .replace(/^\s*\/\/.*$/gm, '')
  for (const row of new Set(code.match(id))) {
    tested.set(row, [...(tested.get(row) ?? []), file.replace('packages/core/test/', '')])
  }
}

test('every row is there once, and is written as the ids are', () => {
  const ids = rows.map(({ row }) => row)
  expect(ids.filter((row) => row.match(id)?.[0] !== row)).toEqual([])
  expect(ids.filter((row, index) => ids.indexOf(row) !== index)).toEqual([])
})

test('rows are numbered without a gap', () => {
  const last = new Map<string, number>()
  const gaps = rows.filter(({ row }) => {
    const [, part = '', number = ''] = /^(.*)-(\d\d)$/.exec(row) ?? []
    const isNext = Number(number) === (last.get(part) ?? 0) + 1
    last.set(part, Number(number))
    return !isNext
  })
  expect(gaps).toEqual([])
  expect([...last]).toEqual([
    ['R-G', 14],
    ['R-V1', 13],
    ['R-V2', 15],
    ['R-TLV', 4],
    ['R-CRC', 4],
    ['R-SSL', 5],
    ['R-UDP', 2],
    ['S', 12],
    ['D', 14],
  ])
})

test.each(rows)('$row has tests, in the files that the page names', ({ row, tests }) => {
  expect(tested.get(row) ?? []).not.toEqual([])
  expect(tests).toEqual(tested.get(row))
})

test('every id that a test carries is a row', () => {
  const known = new Set(rows.map(({ row }) => row))
  expect([...tested.keys()].filter((row) => !known.has(row))).toEqual([])
})
