// The fault and attack matrix: what it says of itself, of the tests, and in docs/reliability.md.
import { describe, expect, test } from 'vitest'
import { rows } from './faults/matrix.ts'
import { generated, readResults, written } from './faults/report.ts'
import { testsOfRows } from './faults/rows.ts'
import { readDocument } from './reference.ts'

const tests = testsOfRows()
const known = new Set(rows.map(({ id }) => id))

test('every row is there once, and the rows of a part are numbered without a gap', () => {
  const ids = rows.map(({ id }) => id)
  expect(new Set(ids).size).toBe(ids.length)
  const last = new Map<string, number>()
  const gaps = ids.filter((id) => {
    const [part = '', number = ''] = id.split('-')
    const isNext = Number(number) === (last.get(part) ?? 0) + 1
    last.set(part, Number(number))
    return !isNext
  })
  expect(gaps).toEqual([])
})

test('a row that is kept, in whole or in part, has tests that carry its id', () => {
  const untested = rows.filter(({ id, state }) => (state === 'kept' || state === 'partly') && !tests.has(id))
  expect(untested.map(({ id }) => id)).toEqual([])
})

test('every id that a test carries is a row', () => {
  expect([...tests.keys()].filter((id) => !known.has(id))).toEqual([])
})

test('what was recorded is of rows that there are', () => {
  expect(Object.keys(readResults()).filter((id) => !known.has(id))).toEqual([])
})

describe('docs/reliability.md', () => {
  // When one of these fails: node test/faults/report.ts && npm run format
  test('says what the matrix and the last recorded runs say', () => {
    expect(withoutTests(written('matrix'))).toEqual(withoutTests(generated('matrix')))
  })

  test.each(['attacks', 'kills'] as const)('says what was recorded of %s', (what) => {
    expect(withoutRules(written(what))).toEqual(withoutRules(generated(what)))
  })

  // A test that was added since is a better proof and no mistake of the page.
  test('links to tests that carry the row', () => {
    const wrong = linesOf(written('matrix'))
      .filter(([id = '']) => known.has(id))
      .flatMap(([id = '', , , , , , links = '']) =>
        [...links.matchAll(/\]\(\.\.\/([^)]+)\)/g)]
          .map(([, file = '']) => file)
          .filter((file) => tests.get(id)?.includes(file) !== true)
          .map((file) => `${id}: ${file}`),
      )
    expect(wrong).toEqual([])
  })
})

function linesOf(text: string): readonly (readonly string[])[] {
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')
    .map((line) => (line.startsWith('|') ? line.split(/(?<!\\)\|/).slice(1, -1) : [line]).map((cell) => cell.trim()))
}

function withoutTests(text: string): readonly (readonly string[])[] {
  return withoutRules(text).map((cells) => cells.slice(0, 6))
}

/** The line below the head of a table is as long as the formatter makes it. */
function withoutRules(text: string): readonly (readonly string[])[] {
  return linesOf(text).filter(([first = '']) => !/^-+$/.test(first))
}

describe('docs/security.md', () => {
  const promises = linesOf(readDocument('docs/security.md'))
    .filter(([promise = '']) => /^\*\*.*\*\*$/.test(promise))
    .map(([promise = '', more = '', ids = '']) => ({ promise, more, ids: ids.split(', ') }))

  test('promises nothing of which a row is not kept', () => {
    expect(promises.length).toBeGreaterThan(10)
    const states = new Map(rows.map(({ id, state }) => [id, state]))
    const broken = promises.flatMap(({ promise, ids }) =>
      ids.filter((id) => states.get(id) !== 'kept').map((id) => `${promise} ${id}`),
    )
    expect(broken).toEqual([])
  })

  test('the README promises the same', () => {
    const readme = readDocument('README.md').replaceAll(/\s+/g, ' ')
    const missing = promises.filter(({ promise, more }) => !readme.includes(`- ${promise} ${more}`.trim()))
    expect(missing).toEqual([])
  })
})
