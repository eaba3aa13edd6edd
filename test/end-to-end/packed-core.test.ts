// @postern/core as others get it: packed, installed by npm in a project outside this tree, used from plain JavaScript and
// from TypeScript. Nothing is asked of the registry: ipaddr.js is packed too, as it is installed here.
import { cpSync, mkdirSync, readdirSync, readFileSync, realpathSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, expect, test } from 'vitest'
import { temporaryFolder } from '../kit/folder.ts'
import { run, type Outcome } from '../kit/run.ts'

const root = join(import.meta.dirname, '../..')
const core = join(root, 'packages/core')
const project = temporaryFolder('packed-core')
let packed: readonly string[] = []

beforeAll(async () => {
  const { filename, files } = await pack(core)
  packed = files
  const { filename: addresses } = await pack(realpathSync(join(core, 'node_modules/ipaddr.js')))
  const dependencies = { '@postern/core': filename }
  const overrides = { 'ipaddr.js': addresses }
  writeFileSync(
    join(project, 'package.json'),
    JSON.stringify({ name: 'a-stranger', private: true, type: 'module', dependencies, overrides }),
  )
  // Of a cache that is empty, so that what npm happens to have changes nothing.
  await succeed('npm', ['install', '--no-audit', '--no-fund', '--offline', '--cache', join(project, 'no-cache')])
  // The types of Node itself, which every project in TypeScript has; and the compiler stays where it is.
  for (const types of ['@types/node', 'undici-types']) {
    const from = types === '@types/node' ? join(root, 'node_modules', types) : besideTypesOfNode(types)
    cpSync(realpathSync(from), join(project, 'node_modules', types), { recursive: true, dereference: true })
  }
}, 120_000)

async function pack(folder: string): Promise<{ readonly filename: string; readonly files: readonly string[] }> {
  const { stdout } = await succeed('npm', ['pack', folder, '--json', '--ignore-scripts', '--pack-destination', project])
  const listed: unknown = JSON.parse(stdout)
  // An array up to npm 11, an object by package name after it.
  const [one] = Object.values(listed as Record<string, { filename: string; files: { path: string }[] }>)
  if (one === undefined) throw new Error(`npm packed nothing: ${stdout}`)
  return { filename: `file:${one.filename}`, files: one.files.map(({ path }) => path) }
}

function besideTypesOfNode(name: string): string {
  return join(realpathSync(join(root, 'node_modules/@types/node')), '../..', name)
}

async function succeed(command: string, args: readonly string[]): Promise<Outcome> {
  const outcome = await run(command, args, { cwd: project, timeoutMs: 50_000 })
  if (outcome.code !== 0) throw new Error(`${command} ${args.join(' ')}:\n${outcome.stdout}${outcome.stderr}`)
  return outcome
}

test('the package holds what was compiled, its source for maps, and its README and licence; no test', () => {
  expect(packed).toEqual(expect.arrayContaining(['LICENSE', 'README.md', 'dist/index.js', 'dist/index.d.ts']))
  expect(packed.filter((path) => !/^(?:dist|src)\/|^(?:README\.md|LICENSE|package\.json)$/.test(path))).toEqual([])
  expect(packed.filter((path) => /test|tsbuildinfo/.test(path))).toEqual([])
})

test('ipaddr.js is all that comes with it', () => {
  const installed = JSON.parse(readFileSync(join(project, 'package-lock.json'), 'utf8')) as {
    readonly packages: Readonly<Record<string, unknown>>
  }
  expect(Object.keys(installed.packages)).toEqual(['', 'node_modules/@postern/core', 'node_modules/ipaddr.js'])
  expect(readdirSync(join(project, 'node_modules/@postern'))).toEqual(['core'])
})

const program = `
import { compileCidrSet, createTrustRule, encodeProxyHeader, endpoint, identify, parseProxyHeader } from '@postern/core'

const sent = encodeProxyHeader({
  version: 2,
  command: 'proxy',
  source: endpoint('203.0.113.7', 45678),
  destination: endpoint('192.0.2.10', 25),
  hasChecksum: true,
})
if (!sent.ok) throw new Error(sent.detail)
const parse = parseProxyHeader(sent.bytes)
if (parse.status !== 'done') throw new Error(parse.status)
const networks = compileCidrSet(['127.0.0.0/8'])
if (!networks.ok) throw new Error('networks')
const peer = endpoint('127.0.0.1', 50000)
const local = endpoint('127.0.0.1', 25)
const verdict = createTrustRule({ mode: 'require', networks: networks.set }).verdictFor(peer)
const identity = identify({ peer, local, verdict, header: parse.header })
console.log(identity.client.address.toString(), identity.client.port, verdict.rule)
`
const printed = '203.0.113.7 45678 required\n'

test('it works in plain JavaScript', async () => {
  writeFileSync(join(project, 'plain.js'), program)
  const { stdout } = await succeed(process.execPath, ['plain.js'])
  expect(stdout).toBe(printed)
})

test('it works from CommonJS by import()', async () => {
  writeFileSync(
    join(project, 'old.cjs'),
    `import('@postern/core').then(({ parseProxyHeader }) => console.log(parseProxyHeader(Buffer.from('PROXY')).status))`,
  )
  const { stdout } = await succeed(process.execPath, ['old.cjs'])
  expect(stdout).toBe('more\n')
})

test('it works in TypeScript, by its published types alone', async () => {
  mkdirSync(join(project, 'out'))
  writeFileSync(
    join(project, 'typed.ts'),
    `${program}
import type { ClientIdentity, ProxyErrorCode, ProxyParse } from '@postern/core'
export const who: ClientIdentity = identity
export const code = (outcome: ProxyParse): ProxyErrorCode | undefined =>
  outcome.status === 'bad' ? outcome.code : undefined
// @ts-expect-error: there is no such command
export const wrong = () => encodeProxyHeader({ version: 2, command: 'stranger' })
`,
  )
  // Strict as one may be, and the types of libraries are checked too.
  const options = {
    target: 'es2024',
    module: 'nodenext',
    types: ['node'],
    strict: true,
    noUncheckedIndexedAccess: true,
    exactOptionalPropertyTypes: true,
    verbatimModuleSyntax: true,
    skipLibCheck: false,
    outDir: 'out',
  }
  writeFileSync(join(project, 'tsconfig.json'), JSON.stringify({ compilerOptions: options, files: ['typed.ts'] }))
  await succeed(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', 'tsconfig.json'])
  const { stdout } = await succeed(process.execPath, ['out/typed.js'])
  expect(stdout).toBe(printed)
})
