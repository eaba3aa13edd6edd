// Documents that say what the code has: tables made from it, and names of files that must be there.
import { existsSync, globSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { exitStatus } from '../packages/gateway/src/cli/exit-status.ts'
import { limits as gatewayLimits } from '../packages/gateway/src/limits.ts'
import { parseConfig } from '../packages/gateway/src/config/load.ts'
import { documents, errors, limits, readDocument, tableIn } from './reference.ts'

const root = join(import.meta.dirname, '..')

// When one of these fails: node --conditions=@postern/source test/reference.ts && npm run format
describe.each(Object.entries(documents))('%s', (path, tables) => {
  test.each(Object.entries(tables))('has what %s has', (name, expected) => {
    expect(cellsOf(tableIn(readDocument(path), name))).toEqual(cellsOf(expected))
  })
})

describe('the code that the documents are made from', () => {
  test('each package with a catalogue of codes or bounds is in a document', () => {
    expect(packagesWith('errors.ts')).toEqual(Object.keys(errors).sort())
    expect(packagesWith('limits.ts')).toEqual(Object.keys(limits).sort())
  })

  test.each(Object.entries(errors))(
    'every code of %s begins with its part and has one sentence or more',
    (_, codes) => {
      expect(Object.keys(codes).length).toBeGreaterThan(0)
      for (const [code, sentence] of Object.entries(codes)) {
        expect(code).toMatch(/^(?:PROXY|SMTP|IMAP|MAILDIR|GATEWAY)_[A-Z\d_]+$/)
        expect(sentence).toMatch(/^[A-Z`].*\.$/)
      }
    },
  )

  test.each(Object.entries(limits))('every bound of %s is a positive number with its reason', (_, bounds) => {
    expect(bounds.length).toBeGreaterThan(0)
    for (const { name, value, reason } of bounds) {
      expect({ name, isPositive: value > 0 }).toEqual({ name, isPositive: true })
      expect(`${name}: ${reason}`).toMatch(/: [A-Z`].*\.$/)
    }
  })
})

// `docs/api` is made from the code, and its copies of other pages may be older than these.
const pages = globSync(['*.md', 'docs/**/*.md', 'packages/*/README.md', 'examples/**/*.md'], {
  cwd: root,
  exclude: ['docs/api/**'],
})

describe.each(pages)('%s', (path) => {
  const text = readFileSync(join(root, path), 'utf8')

  test('links to what is there', () => {
    const missing = [...text.matchAll(/\]\(([^)#\s]+)(?:#([^)\s]*))?\)/g)]
      .map(([, target = '', heading]) => ({ target, heading }))
      .filter(({ target }) => !/^[a-z]+:/.test(target))
      .filter(({ target, heading }) => {
        const file = join(root, dirname(path), target)
        return !existsSync(file) || (heading !== undefined && !headingsOf(file).includes(heading))
      })
    expect(missing).toEqual([])
  })

  test('names files of this tree that are there', () => {
    const named = [...text.matchAll(/`((?:packages|test|docs|examples|scripts)\/[\w./*-]+)`/g)].map(([, name]) => name)
    expect(named.filter((name) => globSync(name ?? '', { cwd: root }).length === 0)).toEqual([])
  })
})

describe('docs/log.md', () => {
  const document = readDocument('docs/log.md')

  test('has every event of the log, and no other', () => {
    const source = globSync('packages/gateway/src/observe/*.ts', { cwd: root }).map(readDocument).join('\n')
    const written = [...source.matchAll(/'((?:[a-z]+\.[a-z-]+)|internal-error)',? ?(?:[\n},)]|\{ )/g)]
      .map(([, event = '']) => event)
      .filter((event) => !event.endsWith('.ts'))
    const told = [
      ...rowsUnder(document, '## Events of connections'),
      ...rowsUnder(document, '## Events of the gateway'),
    ]
    expect(written.length).toBeGreaterThan(30)
    expect(told.sort()).toEqual([...new Set(written)].sort())
  })

  test.each([
    ['## `reason` of `proxy.refused`', 'packages/gateway/src/observe/connection-log.ts', 'ProxyRefusalReason ='],
    ['## `reason` of `policy.refused`', 'packages/core/src/contracts/policy.ts', 'ReasonCode ='],
    ['## `reason` of `connection.close`', 'packages/core/src/contracts/session.ts', 'CloseReason ='],
    ['## `reason` of `store.problem`', 'packages/maildir/src/options.ts', 'readonly kind:'],
  ])('has each %s', (heading, file, union) => {
    const words = wordsOfUnion(readDocument(file), union)
    expect(words.length).toBeGreaterThan(5)
    expect(rowsUnder(document, heading).sort()).toEqual([...words].sort())
  })
})

describe('docs/rfc.md', () => {
  const rows = [...readDocument('docs/rfc.md').matchAll(/^\| (?!section|-)(.*) \|$/gm)]
    .map(([, row = '']) => row.split(' | ').map((cell) => cell.trim()))
    .map(([section = '', what = '', code = '', tests = '']) => ({
      section,
      what,
      code: namesIn(code),
      tests: namesIn(tests),
    }))

  test('each row names its code and its tests, and they are there', () => {
    expect(rows.length).toBeGreaterThan(60)
    const missing = rows.flatMap(({ section, what, code, tests }) => {
      const paths = [...code.map((name) => inPackage(name, 'src')), ...tests.map((name) => inPackage(name, 'test'))]
      const lost = paths.filter((path) => !existsSync(join(root, path)))
      return code.length > 0 && tests.length > 0 && lost.length === 0 ? [] : [`${section} ${what}: ${lost.join(', ')}`]
    })
    expect(missing).toEqual([])
  })

  test('the code of an extension names the standard that it follows', () => {
    const silent = rows
      .filter(({ section }) => section.startsWith('RFC'))
      .flatMap(({ section, code }) => {
        const texts = code.map((name) => readDocument(inPackage(name, 'src')))
        return (section.match(/RFC \d+/g) ?? []).filter((rfc) => !texts.some((text) => text.includes(rfc)))
      })
    expect(silent).toEqual([])
  })
})

describe('examples/systemd/postern.service', () => {
  const unit = readDocument('examples/systemd/postern.service')
  const set = (key: string): number => Number(new RegExp(`^${key}=(\\d+)$`, 'm').exec(unit)?.[1])

  test('gives a drain its time, and each connection its file', async () => {
    const outcome = await parseConfig('[listener.mx]\nprotocol = "smtp"\nbind = "127.0.0.1"\ntls = "off"', {
      file: 'smallest',
      baseDir: '/nowhere',
    })
    if (!outcome.ok) throw new Error(JSON.stringify(outcome.problems))
    const { drainTimeoutMs, maxConnectionsPerWorker } = outcome.config.live.limits
    expect(set('TimeoutStopSec') * 1000).toBeGreaterThan(drainTimeoutMs + 2 * gatewayLimits.farewellMs)
    expect(set('LimitNOFILE')).toBeGreaterThan(2 * Number(maxConnectionsPerWorker))
  })

  test('does not start again what cannot start', () => {
    expect(set('RestartPreventExitStatus')).toBe(exitStatus.config)
  })
})

function packagesWith(file: string): string[] {
  return globSync(`packages/*/src/${file}`, { cwd: root })
    .map((path) => path.split('/')[1] ?? '')
    .sort()
}

/** Formatting pads tables; what they say is compared. */
function cellsOf(table: string): string[] {
  return table
    .split('\n')
    .map((line) => line.replaceAll(/\s+/g, ' ').replaceAll(/-{3,}/g, '---').trim())
    .filter((line) => line !== '')
}

/** As they are linked to: lower case, hyphens for blanks, no punctuation. */
function headingsOf(file: string): string[] {
  return [...readFileSync(file, 'utf8').matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  )
}

/** The first column of the table under a heading. */
function rowsUnder(document: string, heading: string): string[] {
  const [, section = ''] = document.split(`\n${heading}\n`)
  return [...(section.split('\n#')[0] ?? '').matchAll(/^\| `([a-z.-]+)`/gm)].map(([, word = '']) => word)
}

/** The members of a union of strings in TypeScript, comments beside them left out. */
function wordsOfUnion(source: string, start: string): readonly string[] {
  const [, union = ''] = source.split(start)
  return [...(/^(?:\s*\|?\s*'[a-z-]+'\s*(?:\/\/.*)?)+/.exec(union)?.[0].matchAll(/'([a-z-]+)'/g) ?? [])].map(
    ([, word = '']) => word,
  )
}

function namesIn(cell: string): readonly string[] {
  return [...cell.matchAll(/`([^`]+)`/g)].map(([, name = '']) => name)
}

/** `smtp/wire/data.ts` within its package; end-to-end tests belong to none. */
function inPackage(name: string, folder: 'src' | 'test'): string {
  return name.startsWith('end-to-end/') ? `test/${name}` : name.replace('/', `/${folder}/`).replace(/^/, 'packages/')
}
