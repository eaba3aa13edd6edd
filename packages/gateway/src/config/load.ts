import { dirname, resolve } from 'node:path'
import { fileFormat } from './file-format.ts'
import { readTextFile } from './read-file.ts'
import { resolveConfig } from './resolve.ts'
import type { ConfigOutcome } from './schema.ts'
import { parseTomlFile } from './toml-file.ts'

/** Reads a configuration file and all that it names: a configuration that can be run, or every problem at once. */
export async function loadConfig(path: string): Promise<ConfigOutcome> {
  const file = resolve(path)
  const reading = await readTextFile(file)
  if (!reading.ok) {
    const problem = {
      file,
      line: 0,
      path: '',
      expected: 'a configuration file that can be read',
      found: reading.reason,
    }
    return { ok: false, problems: [problem] }
  }
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
