import { z } from 'zod'
import { formatKeyPath, isAtOrUnder, valueAt, type KeyPath } from './key-path.ts'
import type { ConfigProblem } from './schema.ts'
import type { TomlLines } from './toml-lines.ts'

/** A problem before it knows its file and line. */
export interface Problem {
  readonly path: KeyPath
  readonly expected: string
  readonly found: string
  readonly hint?: string
}

/** Collects problems of one file. */
export class Problems {
  readonly #all: Problem[] = []

  add(problem: Problem): void {
    this.#all.push(problem)
  }

  get all(): readonly Problem[] {
    return this.#all
  }

  /** Nothing at, under or above `path` is wrong: what was read from there can be relied on. */
  isSound(...path: KeyPath): boolean {
    return !this.#all.some((problem) => isAtOrUnder(problem.path, path) || isAtOrUnder(path, problem.path))
  }

  located(file: string, lines: TomlLines): ConfigProblem[] {
    return this.#all
      .map(({ path, ...rest }) => ({ file, line: lines.lineOf(path), path: formatKeyPath(path), ...rest }))
      .sort((a, b) => a.line - b.line)
  }
}

/** What a schema found wrong with a document, one problem for each key. */
export function problemsOf(error: z.ZodError, schema: z.ZodType, document: unknown): Problem[] {
  return error.issues.flatMap((issue) => fromIssue(issue, schema, document))
}

function fromIssue(issue: z.core.$ZodIssue, schema: z.ZodType, document: unknown): Problem[] {
  const path = issue.path.map((part) => (typeof part === 'symbol' ? String(part) : part))
  if (issue.code === 'unrecognized_keys') {
    const known = knownKeys(schema, path)
    return issue.keys.map((key) => ({
      path: [...path, key],
      expected: path.length === 0 ? 'a table that this file knows' : `a key that [${formatKeyPath(path)}] knows`,
      found: `"${excerpt(key)}"`,
      ...hintFor(key, known),
    }))
  }
  if (issue.code === 'invalid_union') {
    const deepest = issue.errors
      .flat()
      .filter((inner) => inner.path.length > 0)
      .map((inner) => ({ ...inner, path: [...issue.path, ...inner.path] }))
    if (deepest.length > 0) return deepest.flatMap((inner) => fromIssue(inner, schema, document))
  }
  if (issue.code === 'invalid_key') {
    const name = {
      path,
      expected: issue.issues[0]?.message ?? issue.message,
      found: `"${excerpt(String(path.at(-1)))}"`,
    }
    return [name, ...problemsBehindName(path, schema, document)]
  }
  const value = valueAt(document, path)
  const options = issue.code === 'invalid_value' ? issue.values.filter((option) => typeof option === 'string') : []
  return [
    {
      path,
      expected: issue.message,
      found: describeValue(value, path),
      ...(typeof value === 'string' ? hintFor(value, options) : {}),
    },
  ]
}

/** A table whose name is wrong is not looked into by its record; its own problems are to be told all the same. */
function problemsBehindName(path: KeyPath, schema: z.ZodType, document: unknown): Problem[] {
  const table = schemaAt(schema, path)
  const looked = table === undefined ? undefined : z.safeParse(table, valueAt(document, path))
  if (looked?.error === undefined) return []
  return looked.error.issues.flatMap((inner) =>
    fromIssue({ ...inner, path: [...path, ...inner.path] }, schema, document),
  )
}

/** How a value is shown to the operator. What looks like a secret is not. */
export function describeValue(value: unknown, path: KeyPath): string {
  if (value === undefined) return 'nothing'
  const key = path.findLast((part) => typeof part === 'string') ?? ''
  if (/password|passwd|secret|token|^scram/i.test(key)) return '[secret]'
  if (typeof value === 'string')
    return /PRIVATE KEY|\$argon2|\$scrypt|SCRAM-SHA|:\/\/[^/]*@/.test(value) ? '[secret]' : `"${excerpt(value)}"`
  if (value instanceof Date) return `the date ${value.toISOString()}`
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : `a list of ${value.length}`
  if (typeof value === 'object') return 'a table'
  return typeof value === 'number' || typeof value === 'boolean' ? `${value}` : `a ${typeof value}`
}

/** At most a line's worth, with control characters escaped: what is shown may have been pasted from anywhere. */
function excerpt(text: string): string {
  const shown = text.length > maxShownCharacters ? `${text.slice(0, maxShownCharacters)}…` : text
  return JSON.stringify(shown).slice(1, -1)
}

const maxShownCharacters = 60

// ── did you mean ────────────────────────────────────────────────────────────

function hintFor(written: string, known: readonly string[]): { readonly hint?: string } {
  const wanted = written.toLowerCase().replaceAll('_', '-')
  let nearest: { readonly key: string; readonly distance: number } | undefined
  for (const key of known) {
    const distance = editDistance(wanted, key)
    if (
      distance <= (key.length < 4 ? 1 : Math.max(2, Math.floor(key.length / 3))) &&
      distance < (nearest?.distance ?? Infinity)
    ) {
      nearest = { key, distance }
    }
  }
  return nearest === undefined ? {} : { hint: `did you mean "${nearest.key}"?` }
}

/** Levenshtein's distance, a row at a time. Both are words of the configuration: short, or cut before. */
function editDistance(a: string, b: string): number {
  const from = a.slice(0, maxShownCharacters)
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= from.length; i += 1) {
    const next = [i]
    for (let j = 1; j <= b.length; j += 1) {
      const replaced = (row[j - 1] ?? 0) + (from[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1))
    }
    row = next
  }
  return row.at(-1) ?? 0
}

/** The keys of the table at `path`, as the schema has them. */
function knownKeys(schema: z.ZodType, path: KeyPath): string[] {
  const at = schemaAt(schema, path)
  return at instanceof z.ZodObject ? Object.keys(at.shape) : []
}

/** The schema of the value at `path`. */
function schemaAt(schema: z.ZodType, path: KeyPath): z.core.$ZodType | undefined {
  let at: z.core.$ZodType | undefined = schema
  for (const part of path) {
    at = unwrap(at)
    if (at instanceof z.ZodObject) at = at.shape[String(part)] as z.core.$ZodType | undefined
    else if (at instanceof z.ZodRecord) at = at.valueType
    else if (at instanceof z.ZodArray) at = at.element
    else return undefined
  }
  return unwrap(at)
}

function unwrap(schema: z.core.$ZodType | undefined): z.core.$ZodType | undefined {
  let at = schema
  while (at instanceof z.ZodOptional || at instanceof z.ZodPrefault) at = at.def.innerType
  return at
}

// ── reading on ──────────────────────────────────────────────────────────────

/**
 * The document without what is wrong with it, so that everything else can still be checked. What is missing or stands
 * in a list takes the key around it along: a list with a hole would mean something else.
 */
export function withoutProblems(document: unknown, problems: readonly Problem[]): unknown {
  const removals = problems.map(({ path }) => removalFor(document, path))
  const rest: unknown = structuredClone(document)
  for (const path of removals) {
    const parent = valueAt(rest, path.slice(0, -1))
    if (path.length > 0 && isTable(parent)) delete parent[path.at(-1) ?? '']
  }
  return rest
}

/** The nearest key at or above `path` that is there and stands in a table. */
function removalFor(document: unknown, path: KeyPath): KeyPath {
  for (let length = path.length; length > 0; length -= 1) {
    const parent = valueAt(document, path.slice(0, length - 1))
    if (isTable(parent) && Object.hasOwn(parent, path[length - 1] ?? '')) return path.slice(0, length)
  }
  return []
}

function isTable(value: unknown): value is Record<string | number, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
