// What can be read off the tree itself: checksums and pins of what we install, no secrets, and regular expressions that
// no text makes slow.
import { execFileSync } from 'node:child_process'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { parse } from 'yaml'

const root = join(import.meta.dirname, '..')
const read = (path: string): string => readFileSync(join(root, path), 'utf8')

interface Manifest {
  readonly private?: boolean
  readonly dependencies?: Readonly<Record<string, string>>
  readonly optionalDependencies?: Readonly<Record<string, string>>
  readonly devDependencies?: Readonly<Record<string, string>>
  readonly scripts?: Readonly<Record<string, string>>
  readonly files?: readonly string[]
}

/** What is read of a workflow. */
interface Workflow {
  readonly permissions: Readonly<Record<string, string>>
  readonly jobs: Readonly<
    Record<
      string,
      { readonly permissions: Readonly<Record<string, string>>; readonly steps: readonly { readonly run?: string }[] }
    >
  >
}

const manifests = ['package.json', ...globSync('packages/*/package.json', { cwd: root }).sort()].map((path) => ({
  path,
  manifest: JSON.parse(read(path)) as Manifest,
}))

test('SU-01: every package of the lockfile has its checksum', () => {
  const resolutions = read('pnpm-lock.yaml')
    .split('\n')
    .filter((line) => /^\s+resolution:/.test(line))
  expect(resolutions.length).toBeGreaterThan(100)
  expect(resolutions.filter((line) => !/integrity: sha512-[A-Za-z\d+/]{86}==/.test(line))).toEqual([])
})

test('SU-01: nothing that is installed runs a script of its own', () => {
  const allowed = [...read('pnpm-workspace.yaml').matchAll(/^ {2}(\S+): true$/gm)].map(([, name]) => name)
  expect(allowed).toEqual([])
  for (const { path, manifest } of manifests) {
    const hooks = Object.keys(manifest.scripts ?? {}).filter((name) => /^(?:pre|post)?install$|^prepare$/.test(name))
    expect({ path, hooks }).toEqual({ path, hooks: [] })
  }
})

test('SU-03: what runs is of exact versions', () => {
  const loose = manifests.flatMap(({ path, manifest }) =>
    [manifest.dependencies, manifest.optionalDependencies, manifest.devDependencies]
      .flatMap((each) => Object.entries(each ?? {}))
      .filter(([, version]) => !/^(?:workspace:\*|\d+\.\d+\.\d+(?:-[\w.]+)?)$/.test(version))
      .map(([name, version]) => `${path}: ${name} ${version}`),
  )
  expect(loose).toEqual([])
})

function dependenciesOf(name: string): readonly string[] {
  return Object.keys(
    manifests.find(({ path }) => path === `packages/${name}/package.json`)?.manifest.dependencies ?? {},
  )
}

test('SU-03: the libraries depend on core, and core on one package', () => {
  expect(dependenciesOf('core')).toEqual(['ipaddr.js'])
  for (const name of ['smtp', 'imap', 'maildir']) expect(dependenciesOf(name)).toEqual(['@postern/core'])
})

test('SU-05: packages hold what was built and its source, and no tests', () => {
  for (const { path, manifest } of manifests.slice(1)) {
    const shipped = (manifest.files ?? []).filter((name) => !name.startsWith('!'))
    expect({ path, shipped: shipped.filter((name) => /test|fuzz|\*|^\.$/.test(name)) }).toEqual({ path, shipped: [] })
    expect(shipped).toContain('dist')
  }
})

test('SU-05: no key is in the tree but the one that tests of core use', () => {
  const files = execFileSync('git', ['ls-files', '-z'], { cwd: root, encoding: 'utf8' }).split('\0').filter(Boolean)
  const keys = files.filter(
    (path) =>
      !/\.(?:png|svg|gz)$/.test(path) && /-----BEGIN [A-Z ]*PRIVATE KEY-----\n[A-Za-z\d+/=\n]{40}/.test(read(path)),
  )
  expect(keys).toEqual(['packages/core/test/fixtures/key.pem'])
})

test('SU-04: what is published names the run that built it, and no workflow holds a secret', () => {
  const workflows = globSync('.github/workflows/*.yml', { cwd: root })
  expect(workflows.filter((path) => /\$\{\{\s*secrets\b/.test(read(path)))).toEqual([])
  const { permissions, jobs } = parse(read('.github/workflows/release.yml')) as Workflow
  expect(permissions).toEqual({})
  // Only the job that publishes may ask for a token, and it runs nothing of this tree.
  expect(Object.entries(jobs).map(([name, job]) => [name, job.permissions])).toEqual([
    ['pack', { contents: 'read' }],
    ['publish', { 'id-token': 'write' }],
  ])
  const commands = jobs['publish']?.steps.flatMap(({ run }) => (run === undefined ? [] : [run])).join('\n') ?? ''
  expect(commands).toMatch(/^diff -r first second$/m)
  expect(commands).toMatch(/npm publish .* --provenance /)
  const published = /for package in ([a-z ]+);/.exec(commands)?.[1]?.split(' ').toSorted()
  const open = manifests.slice(1).filter(({ manifest }) => manifest.private !== true)
  expect(published).toEqual(open.map(({ path }) => path.split('/')[1]))
})

// ── regular expressions ─────────────────────────────────────────────────────

/** Where an expression may begin: behind what no value ends with. */
const literal = /(?<=[(,=:[!&|?{};]\s*|return\s+)\/(?![*/])((?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\n[])+)\/([dgimsuvy]*)/g

interface Expression {
  readonly file: string
  readonly source: string
  readonly flags: string
}

const expressions: readonly Expression[] = globSync('packages/{core,smtp,imap,maildir,gateway}/src/**/*.ts', {
  cwd: root,
})
  .sort()
  .flatMap((file) =>
    [...withoutComments(read(file)).matchAll(literal)]
      .map(([, source = '', flags = '']) => ({ file, source, flags }))
      .filter(isExpression),
  )

function withoutComments(code: string): string {
  return code.replaceAll(/\/\*[\s\S]*?\*\//g, '').replaceAll(/(?<=^|\s)\/\/.*$/gm, '')
}

/** A division between two others reads like one. */
function isExpression({ source, flags }: Expression): boolean {
  try {
    return new RegExp(source, flags) instanceof RegExp
  } catch {
    return false
  }
}

/** Quadratic time over so many characters is a hundred milliseconds; linear time is less than one. */
const length = 8_000

/** Long texts of what the expression looks for: each of its characters, pairs of them, and an end that fits nothing. */
function* textsFor(source: string): Generator<string> {
  const literals = source.replaceAll(/\\[dDwWsSbB]|[\\()[\]{}?*+^$|]/g, '')
  const characters = new Set(`${literals}a0 \t.:@<"\\(-=;,`.split(''))
  for (const one of characters) yield `${one.repeat(length)}\u0000`
  for (const pair of ['a.', 'a ', ' a', '0.', '<a', '"\\', '\r\n', 'a:', 'a,', '=?', '::', '1:']) {
    yield `${pair.repeat(length / 2)}\u0000`
  }
}

test('JS-02: no regular expression takes long over any text', { timeout: 120_000 }, () => {
  expect(expressions.length).toBeGreaterThan(100)
  const slow: string[] = []
  for (const { file, source, flags } of expressions) {
    const expression = new RegExp(source, flags.replace(/[gy]/g, ''))
    for (const text of textsFor(source)) {
      const took = timeOf(expression, text)
      // What was slow once may have been waiting for the processor: it is judged by what it had of it.
      if (took > 20 && Math.min(spentOn(expression, text), spentOn(expression, text)) > 20) {
        slow.push(`${file}: /${source}/${flags} over ${JSON.stringify(text.slice(0, 4))}…: ${took.toFixed(0)} ms`)
        break
      }
    }
  }
  expect(slow).toEqual([])
})

function timeOf(expression: RegExp, text: string): number {
  const begun = performance.now()
  expression.test(text)
  return performance.now() - begun
}

/** Milliseconds of the processor. */
function spentOn(expression: RegExp, text: string): number {
  const begun = process.cpuUsage()
  expression.test(text)
  const { user, system } = process.cpuUsage(begun)
  return (user + system) / 1000
}
