import { TomlError, parse } from 'smol-toml'
import type { z } from 'zod'
import type { KeyPath } from './key-path.ts'
import { Problems, problemsOf, withoutProblems } from './problems.ts'
import { locateTomlLines, type TomlLines } from './toml-lines.ts'

export type TomlReading<T> =
  /** `problems` may hold some already: `value` is then what is right beside them. */
  | { readonly ok: true; readonly value: T; readonly problems: Problems; readonly lines: TomlLines }
  /** Nothing of it can be used. */
  | { readonly ok: false; readonly problems: Problems; readonly lines: TomlLines }

/** Reads a TOML document by a schema, and reads on past whatever is wrong, so that all of it is told at once. */
export function parseTomlFile<T extends z.ZodType>(text: string, schema: T): TomlReading<z.output<T>> {
  const problems = new Problems()
  let document: unknown
  try {
    document = parse(text)
  } catch (error) {
    if (!(error instanceof TomlError)) throw error
    // The library's message goes on with an excerpt of the file, which may hold a secret.
    const [what = ''] = error.message.split('\n')
    problems.add({
      path: [],
      expected: 'TOML',
      found: `${what.replace('Invalid TOML document: ', '')}, column ${error.column}`,
    })
    return { ok: false, problems, lines: { lineOf: () => error.line } }
  }

  const lines = locateTomlLines(text)
  // The schema library skips this key without a word.
  for (const path of pathsToProto(document, [])) {
    problems.add({ path, expected: 'a key that this file knows', found: '"__proto__"' })
  }
  let rest = withoutProblems(document, problems.all)
  for (;;) {
    const parsed = schema.safeParse(rest)
    if (parsed.success) return { ok: true, value: parsed.data, problems, lines }
    const found = problemsOf(parsed.error, schema, rest)
    // What a removal left behind is no problem of its own.
    const fresh = found.filter((problem) => problems.isSound(...problem.path))
    for (const problem of fresh) problems.add(problem)
    const smaller = withoutProblems(rest, found)
    if (JSON.stringify(smaller) === JSON.stringify(rest)) return { ok: false, problems, lines }
    rest = smaller
  }
}

function pathsToProto(value: unknown, path: KeyPath): KeyPath[] {
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([key, child]) => {
    const childPath = [...path, Array.isArray(value) ? Number(key) : key]
    return key === '__proto__' ? [childPath] : pathsToProto(child, childPath)
  })
}
