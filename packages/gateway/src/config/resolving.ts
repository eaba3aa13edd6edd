import { resolve } from 'node:path'
import { formatKeyPath, type KeyPath } from './key-path.ts'
import type { Problems } from './problems.ts'
import { readTextFile } from './read-file.ts'
import type { ConfigWarning } from './schema.ts'
import type { TomlLines } from './toml-lines.ts'

export interface ConfigSource {
  readonly file: string
  readonly baseDir: string
  readonly problems: Problems
  readonly lines: TomlLines
}

/** What a part of the resolution works with. */
export interface Resolving {
  readonly problems: Problems
  readonly warn: (path: KeyPath, message: string) => void
  /** The absolute name of a file that the configuration names. */
  readonly path: (name: string) => string
  /** The one line of a file that other users of the machine may not read. */
  readonly secretIn: (name: string | undefined, path: KeyPath) => Promise<string | undefined>
}

/** @param warnings - where warnings are put. */
export function resolvingOf({ file, baseDir, problems, lines }: ConfigSource, warnings: ConfigWarning[]): Resolving {
  const warn: Resolving['warn'] = (path, message) => {
    warnings.push({ file, line: lines.lineOf(path), path: formatKeyPath(path), message })
  }
  const fileOf: Resolving['path'] = (name) => resolve(baseDir, name)
  return {
    problems,
    warn,
    path: fileOf,
    secretIn: (name, path) => secretIn(name, path, { problems, warn, path: fileOf }),
  }
}

async function secretIn(
  name: string | undefined,
  path: KeyPath,
  { problems, warn, path: fileOf }: Omit<Resolving, 'secretIn'>,
): Promise<string | undefined> {
  if (name === undefined) return undefined
  const file = fileOf(name)
  const reading = await readTextFile(file)
  if (!reading.ok) {
    problems.add({ path, expected: 'a file that can be read', found: `${file}: ${reading.reason}` })
    return undefined
  }
  const secret = reading.text.replace(/\r?\n$/, '')
  if (secret === '' || /[\r\n\0]/.test(secret)) {
    problems.add({ path, expected: 'a file with a secret on one line', found: `${file}, which has none` })
    return undefined
  }
  if ((reading.mode & 0o004) !== 0) warn(path, `everybody on this machine can read it: chmod o-r ${file}`)
  return secret
}
