// The arrows between packages, and between the layers inside one, as CONTRIBUTING.md describes them. An import that is
// not in a table below is an error here, so the picture in docs/architecture.md stays true.
import { globSync, readFileSync } from 'node:fs'
import { stripTypeScriptTypes } from 'node:module'
import { dirname, join, relative, sep } from 'node:path'
import { describe, expect, test } from 'vitest'

const root = join(import.meta.dirname, '..')

/** Package to the packages of this tree that it may import. */
const siblings: Readonly<Record<string, readonly string[]>> = {
  core: [],
  smtp: ['core'],
  imap: ['core'],
  maildir: ['core'],
  gateway: ['core', 'smtp', 'imap', 'maildir'],
  bench: ['core', 'smtp', 'imap', 'maildir', 'gateway'],
}

/** Package to the libraries it may import. gateway and bench take what their manifest names; a protocol takes none. */
const libraries: Readonly<Record<string, readonly string[] | 'manifest'>> = {
  core: ['ipaddr.js'],
  smtp: [],
  imap: [],
  maildir: [],
  gateway: 'manifest',
  bench: 'manifest',
}

/** Machines and codecs: bytes in, bytes out. What they would need any of these for is the pump's work, or the embedder's. */
const pureFolders: Readonly<Record<string, readonly string[]>> = {
  core: ['proxy', 'ip', 'identity', 'bytes', 'contracts', 'sasl'],
  smtp: ['wire', 'session'],
  imap: ['wire', 'session', 'message'],
}

/** Node modules without a socket, a timer, a clock, a file, a process or a logger behind them. */
const pureModules: ReadonlySet<string> = new Set(['node:buffer', 'node:crypto', 'node:util', 'node:string_decoder'])

interface Source {
  readonly package: string
  /** Relative to the package's `src`, with forward slashes. */
  readonly file: string
  readonly code: string
  readonly imports: readonly Import[]
}
interface Import {
  readonly specifier: string
  /** Gone when the types are stripped: it names a shape and brings no power. */
  readonly isTypeOnly: boolean
}

const sources: readonly Source[] = globSync('packages/*/src/**/*.ts', { cwd: root }).map((path) => {
  const [, name = '', , ...rest] = path.split(sep)
  const code = withoutComments(readFileSync(join(root, path), 'utf8'))
  return { package: name, file: rest.join('/'), code, imports: [...importsOf(code)] }
})

describe('packages', () => {
  test('each package is in the tables', () => {
    expect([...new Set(sources.map((source) => source.package))].sort()).toEqual(Object.keys(siblings).sort())
  })

  test('a package imports only the siblings below it, by the name they export', () => {
    const wrong = everyImport((source, { specifier }) => {
      if (!specifier.startsWith('@postern/')) return false
      return !siblings[source.package]?.includes(specifier.slice('@postern/'.length))
    })
    expect(wrong).toEqual([])
  })

  test('a relative import stays inside its package', () => {
    const wrong = everyImport((source, { specifier }) => {
      if (!specifier.startsWith('.')) return false
      return relative('/src', join('/src', dirname(source.file), specifier)).startsWith('..')
    })
    expect(wrong).toEqual([])
  })

  test('a package imports only the libraries it is allowed', () => {
    const wrong = everyImport((source, { specifier }) => {
      if (/^(\.|node:|@postern\/)/.test(specifier)) return false
      const allowed = libraries[source.package] ?? []
      return !(allowed === 'manifest' ? dependenciesOf(source.package) : allowed).includes(packageOf(specifier))
    })
    expect(wrong).toEqual([])
  })

  test('ipaddr.js reads configuration, in one file', () => {
    const users = sources.filter((source) => source.imports.some(({ specifier }) => specifier === 'ipaddr.js'))
    expect(users.map((source) => `${source.package}/${source.file}`)).toEqual(['core/ip/cidr.ts'])
  })
})

describe('layers', () => {
  const pure = sources.filter((source) =>
    pureFolders[source.package]?.some((folder) => source.file.startsWith(`${folder}/`)),
  )

  test('every folder of the table exists', () => {
    const missing = Object.entries(pureFolders).flatMap(([name, folders]) =>
      folders
        .filter((folder) => !pure.some((source) => source.package === name && source.file.startsWith(`${folder}/`)))
        .map((folder) => `${name}/${folder}`),
    )
    expect(missing).toEqual([])
  })

  test('codecs and machines import no socket, timer, clock, file, process or logger', () => {
    const wrong = everyImport(
      (_, { specifier, isTypeOnly }) => specifier.startsWith('node:') && !isTypeOnly && !pureModules.has(specifier),
      pure,
    )
    expect(wrong).toEqual([])
  })

  test('codecs and machines use no such global either', () => {
    const powers =
      /\b(?:setTimeout|setInterval|setImmediate|queueMicrotask|console\.|process\.|performance\.|Date\.now\(|new Date\(\)|await fetch\(|globalThis\.)/
    const wrong = pure.flatMap((source) => {
      const found = powers.exec(source.code)
      return found === null ? [] : [`${source.package}/${source.file}: ${found[0]}`]
    })
    expect(wrong).toEqual([])
  })

  test('below the server a protocol package does not know its own pump or client: no import from server/ or client/', () => {
    const wrong = everyImport((_, { specifier }) => /^\.\.?\/(?:.*\/)?(?:server|client)\//.test(specifier), pure)
    expect(wrong).toEqual([])
  })

  test('the address of a socket is read where identities are made of sockets: all others see the identity', () => {
    // The front for other programs gives their sockets the client's address; the command line has sockets of its own. The
    // sessions of smtp-server have a field of that name, which is declared and filled here and is read of no socket.
    const isElsewhere = /^(?:bench|gateway\/cli)\//
    const readers = sources
      .filter(({ code, file }) => /\bremoteAddress\b/.test(file === 'compat/session.ts' ? ofSockets(code) : code))
      .map((source) => `${source.package}/${source.file}`)
      .filter((file) => !isElsewhere.test(file))
    expect(readers).toEqual(['core/socket/endpoints.ts', 'core/socket/proxied.ts'])
  })
})

/** Without the field of a session: its declaration, and its value from an identity. */
function ofSockets(code: string): string {
  return code.replace('readonly remoteAddress: string', '').replace('remoteAddress: client.address.toString()', '')
}

function everyImport(
  isWrong: (source: Source, one: Import) => boolean,
  among: readonly Source[] = sources,
): readonly string[] {
  return among.flatMap((source) =>
    source.imports
      .filter((one) => isWrong(source, one))
      .map((one) => `${source.package}/src/${source.file} imports ${one.specifier}`),
  )
}

// Node takes the types away itself when a program is started from source, and knows less of TypeScript than its compiler.
test('the sources of every package are read by Node as they are', () => {
  const unread: string[] = []
  for (const file of globSync('packages/*/src/**/*.ts', { cwd: root })) {
    try {
      stripTypeScriptTypes(readFileSync(join(root, file), 'utf8'))
    } catch (error) {
      unread.push(`${file}: ${String(error)}`)
    }
  }
  expect(unread).toEqual([])
})

function* importsOf(code: string): Generator<Import> {
  const pattern =
    /(?:^|[;\n])\s*(?:import|export)\b(\s+type\b)?(?:[\w\s{},*$]*\bfrom)?\s*['"]([^'"\n]+)['"]|\bimport\(\s*['"]([^'"\n]+)['"]/g
  for (const [, type, statement, call] of code.matchAll(pattern)) {
    const specifier = statement ?? call
    if (specifier !== undefined) yield { specifier, isTypeOnly: type !== undefined }
  }
}

/** Good enough for code that oxfmt wrote: `//` inside a string is kept when it follows a colon, as in an address. */
function withoutComments(code: string): string {
  return code.replace(/\/\*[\s\S]*?\*\//g, '').replace(/(^|[^:'"`])\/\/.*$/gm, '$1')
}

function packageOf(specifier: string): string {
  return specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/')
}

function dependenciesOf(name: string): readonly string[] {
  const manifest = JSON.parse(readFileSync(join(root, 'packages', name, 'package.json'), 'utf8')) as {
    readonly dependencies?: Readonly<Record<string, string>>
    /** Loaded when they are asked for, as a lookup in Redis is. */
    readonly optionalDependencies?: Readonly<Record<string, string>>
  }
  return Object.keys({ ...manifest.dependencies, ...manifest.optionalDependencies })
}
