import fc from 'fast-check'
import { stringify } from 'smol-toml'
import { expect, test } from 'vitest'
import { formatKeyPath, type KeyPath } from '../../src/config/key-path.ts'
import { locateTomlLines } from '../../src/config/toml-lines.ts'

const document = `# a comment with [brackets] and "quotes
title = "x = [1]"

[server]
hostname = 'mx' # behind a value
  workers = 2

[listener.mx]
bind = [ # two
  "0.0.0.0:25", # one ]
  '[::]:25',
]
dotted.key.deep = 1
[listener . "a.b"]
"quoted \\u0041" = 1
[listener.mx.proxy]
trusted-networks = []

[tls]
certificates = [{ cert = "a", key = """
multi " line ""
"""}, { cert = '''
other''', key = "b" }]
after = true

[[account]]
name = "one"
[[account]]
name = "two"
[account.extra]
x = 1
[[account.nested]]
y = 1
[[account.nested]]
y = 2
`

const rows: readonly (readonly [string, KeyPath, number])[] = [
  ['a key before any table', ['title'], 2],
  ['a table', ['server'], 4],
  ['a key in a table', ['server', 'hostname'], 5],
  ['an indented key', ['server', 'workers'], 6],
  ['a table that only a longer header implies', ['listener'], 8],
  ['a list', ['listener', 'mx', 'bind'], 9],
  ['an element behind a comment', ['listener', 'mx', 'bind', 0], 10],
  ['an element of a list with brackets in strings', ['listener', 'mx', 'bind', 1], 11],
  ['a dotted key', ['listener', 'mx', 'dotted', 'key', 'deep'], 13],
  ['a quoted key with spaces around', ['listener', 'a.b'], 14],
  ['a key with an escape', ['listener', 'a.b', 'quoted A'], 15],
  ['a table within an earlier one', ['listener', 'mx', 'proxy', 'trusted-networks'], 17],
  ['a key of an inline table', ['tls', 'certificates', 0, 'key'], 20],
  ['an inline table behind a string of several lines', ['tls', 'certificates', 1, 'cert'], 22],
  ['a key behind a literal string of several lines', ['tls', 'certificates', 1, 'key'], 23],
  ['a key behind all that', ['tls', 'after'], 24],
  ['the first of an array of tables', ['account', 0], 26],
  ['the second of an array of tables', ['account', 1, 'name'], 29],
  ['a table under the last element', ['account', 1, 'extra', 'x'], 31],
  ['an array of tables under the last element', ['account', 1, 'nested', 1, 'y'], 35],
  ['what is missing stands where its table does', ['server', 'data-dir'], 4],
  ['what is missing in a list stands where the list does', ['listener', 'mx', 'bind', 7], 9],
  ['what is in no table stands at the start', ['policy', 'deny'], 1],
]

test.each(rows)('%s', (_, path, line) => {
  expect(locateTomlLines(document).lineOf(path)).toBe(line)
})

test('carriage returns do not count as lines of their own', () => {
  expect(locateTomlLines('a = 1\r\nb = [\r\n 1,\r\n 2]\r\n').lineOf(['b', 1])).toBe(4)
})

test('every key of every document is on the line that holds it', () => {
  const word = fc.stringMatching(/^[a-z"'#.\][ ]{1,6}$/)
  const value = fc.oneof(fc.integer(), word, fc.array(word, { minLength: 1 }), fc.boolean())
  const table = fc.dictionary(word, value, { minKeys: 1 })
  fc.assert(
    fc.property(fc.dictionary(word, table, { minKeys: 1 }), (tables) => {
      const text = stringify(tables)
      const lines = text.split('\n')
      const located = locateTomlLines(text)
      for (const [name, keys] of Object.entries(tables)) {
        for (const key of Object.keys(keys)) {
          const line = lines[located.lineOf([name, key]) - 1] ?? ''
          expect(line.startsWith(`${tomlKey(key)} = `), `${formatKeyPath([name, key])} in ${text}`).toBe(true)
        }
      }
    }),
  )
})

test('no text makes it throw or run for ever', () => {
  const pieces = fc.constantFrom('[', ']', '{', '}', '=', '"', "'", '"""', "'''", '\\', '\n', '#', ',', '.', 'a', ' ')
  fc.assert(
    fc.property(fc.array(pieces), (all) => {
      expect(locateTomlLines(all.join('')).lineOf(['a'])).toBeGreaterThanOrEqual(1)
    }),
  )
})

function tomlKey(key: string): string {
  return /^[A-Za-z0-9_-]+$/.test(key) ? key : JSON.stringify(key)
}
