import { dirname, resolve } from 'node:path'
import { fileFormat } from './file-format.ts'
import { readTextFile } from './read-file.ts'
import { storeDomainsOf } from './local-domains.ts'
import { adminOf, resolveConfig, resolveListeners } from './resolve.ts'
import type { AdminConfig, ConfigOutcome, ConfigProblem, ListenerConfig, ListenerLiveConfig } from './schema.ts'
import { parseTomlFile } from './toml-file.ts'

/** Reads a configuration file and all that it names: a configuration that can be run, or every problem at once. */
export async function loadConfig(path: string): Promise<ConfigOutcome> {
  const file = resolve(path)
  const reading = await readTextFile(file)
  if (!reading.ok) return { ok: false, problems: [unreadable(file, reading.reason)] }
  return parseConfig(reading.text, { file, baseDir: dirname(file) })
}

/**
 * @param source.file - what problems name.
 * @param source.baseDir - relative file names start here.
 */
export async function parseConfig(
  text: string,
  source: { readonly file: string; readonly baseDir: string },
): Promise<ConfigOutcome> {
  const parsed = parseTomlFile(text, fileFormat)
  const { problems, lines } = parsed
  if (!parsed.ok) return { ok: false, problems: problems.located(source.file, lines) }
  return resolveConfig(parsed.value, { ...source, problems, lines })
}

/** Where accounts are, and what their names must be so that mail reaches them. */
export interface FoundAccounts {
  readonly file: string
  /** Lower case; absent when any domain may be: as routes say, or the tables that say so are wrong. */
  readonly localDomains?: readonly string[]
}

/**
 * Which accounts file a configuration names. What is wrong with its other parts does not matter here: accounts must be
 * made before the file that names them is right.
 */
export async function findAccountsFile(
  path: string,
): Promise<
  ({ readonly ok: true } & FoundAccounts) | { readonly ok: false; readonly problems: readonly ConfigProblem[] }
> {
  const opened = await open(path)
  if (!opened.ok) return opened
  const { file, parsed } = opened
  const { problems, lines } = parsed
  if (!parsed.ok) return { ok: false, problems: problems.located(file, lines) }
  const { accounts } = parsed.value
  const isKnown = problems.isSound('smtp') && problems.isSound('server') && problems.isSound('route')
  const localDomains = isKnown ? storeDomainsOf(parsed.value) : undefined
  if (accounts.file !== undefined) {
    return {
      ok: true,
      file: resolve(dirname(file), accounts.file),
      ...(localDomains && { localDomains }),
    }
  }
  if (problems.isSound('accounts')) {
    problems.add({ path: ['accounts', 'file'], expected: 'the name of the accounts file', found: 'nothing' })
  }
  return { ok: false, problems: problems.located(file, lines).filter((problem) => problem.path.startsWith('accounts')) }
}

/**
 * The listeners of a configuration and the headers that they take. Files that it names may be missing, as they are on another
 * machine than the gateway's, and what is wrong with tables that listeners do not need does not matter here.
 */
export async function loadListeners(
  path: string,
): Promise<
  | { readonly ok: true; readonly listeners: readonly ListenerConfig[]; readonly live: readonly ListenerLiveConfig[] }
  | { readonly ok: false; readonly problems: readonly ConfigProblem[] }
> {
  const opened = await open(path)
  if (!opened.ok) return opened
  const { file, parsed } = opened
  const { problems, lines } = parsed
  const resolved = parsed.ok
    ? resolveListeners(parsed.value, { file, baseDir: dirname(file), problems, lines })
    : undefined
  const ours = problems.located(file, lines).filter((problem) => /^(?:$|(?:listener|proxy)\b)/.test(problem.path))
  return resolved === undefined || ours.length > 0 ? { ok: false, problems: ours } : { ok: true, ...resolved }
}

/**
 * Where the running gateway of a configuration is asked. Whatever else is wrong with the file does not matter: who asks how
 * it goes may be in the middle of a change.
 */
export async function findAdmin(
  path: string,
): Promise<
  | { readonly ok: true; readonly admin: AdminConfig }
  | { readonly ok: false; readonly problems: readonly ConfigProblem[] }
> {
  const opened = await open(path)
  if (!opened.ok) return opened
  const { file, parsed } = opened
  const { problems, lines } = parsed
  if (!parsed.ok) return { ok: false, problems: problems.located(file, lines) }
  return { ok: true, admin: adminOf(parsed.value.admin, dirname(file)) }
}

/** The tables of a file, as far as they can be made out. */
async function open(path: string) {
  const file = resolve(path)
  const reading = await readTextFile(file)
  if (!reading.ok) return { ok: false, problems: [unreadable(file, reading.reason)] } as const
  return { ok: true, file, parsed: parseTomlFile(reading.text, fileFormat) } as const
}

function unreadable(file: string, found: string): ConfigProblem {
  return { file, line: 0, path: '', expected: 'a configuration file that can be read', found }
}
