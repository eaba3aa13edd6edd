/*
 * What is written elsewhere about the configuration, made from its one description: the JSON Schema for editors, and
 * the tables of docs/configuration.md. Run this file with Node to write both anew.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { z } from 'zod'
import { fileFormat } from '../../src/config/file-format.ts'

export const schemaFile: URL = new URL('../../postern.schema.json', import.meta.url)
export const documentFile: URL = new URL('../../../../docs/configuration.md', import.meta.url)

export function jsonSchema(): Record<string, unknown> {
  const schema = z.toJSONSchema(fileFormat, { io: 'input' })
  return { $schema: schema.$schema, title: 'Configuration of the Postern gateway', ...schema }
}

/** The part of the document between its two marks. */
export function tablesIn(document: string): string {
  return partsOf(document)[1]
}

export function referenceTables(): string {
  return sectionsOf(fileFormat, [])
    .map(({ heading, isList, rows }) => {
      const lines = rows.map((cells) => `| ${cells.map((cell) => cell.replaceAll('|', String.raw`\|`)).join(' | ')} |`)
      return [
        `### \`${isList ? `[[${heading}]]` : `[${heading}]`}\``,
        '',
        '| key | value | default | meaning |',
        '| --- | --- | --- | --- |',
        ...lines,
      ].join('\n')
    })
    .join('\n\n')
}

// ── reading the schema ──────────────────────────────────────────────────────

interface Section {
  readonly heading: string
  /** Tables written `[[NAME]]`, as often as one likes. */
  readonly isList: boolean
  readonly rows: readonly (readonly [key: string, value: string, fallback: string, meaning: string])[]
}

/** A table of its own for each table that has keys which are no tables; `NAME` where the operator chooses. */
function sectionsOf(schema: z.core.$ZodType, path: readonly string[], isList = false): Section[] {
  const { inner } = unwrapped(schema)
  if (isListOfTables(inner)) return sectionsOf(inner.element, path, true)
  if (inner instanceof z.ZodRecord) return sectionsOf(inner.valueType, [...path, 'NAME'])
  if (!(inner instanceof z.ZodObject)) return []
  const entries = Object.entries(inner.shape)
  const rows = entries.filter(([, child]) => !isTable(child)).map(([key, child]) => rowOf(key, child))
  const below = entries.flatMap(([key, child]) => sectionsOf(child, [...path, key]))
  return [...(rows.length > 0 ? [{ heading: path.join('.'), isList, rows }] : []), ...below]
}

function isTable(schema: z.core.$ZodType): boolean {
  const { inner } = unwrapped(schema)
  return inner instanceof z.ZodObject || inner instanceof z.ZodRecord || isListOfTables(inner)
}

/** Written `[[NAME]]`. Another list stands in the row of its key, as `certificates` does. */
function isListOfTables(schema: z.core.$ZodType): schema is z.ZodArray {
  return schema instanceof z.ZodArray && expectedOf(schema).startsWith('tables written [[')
}

function rowOf(key: string, schema: z.core.$ZodType): Section['rows'][number] {
  const { fallback, isOptional } = unwrapped(schema)
  const shown = fallback === undefined ? (isOptional ? '' : 'required') : `\`${JSON.stringify(fallback)}\``
  return [`\`${key}\``, expectedOf(schema), shown, z.globalRegistry.get(schema)?.description ?? '']
}

/** In the words that a problem would use. */
function expectedOf(schema: z.core.$ZodType): string {
  const outcome = z.safeParse(schema, Symbol('nothing that a file can hold'))
  return outcome.error?.issues[0]?.message ?? ''
}

function unwrapped(schema: z.core.$ZodType): { inner: z.core.$ZodType; fallback?: unknown; isOptional: boolean } {
  if (schema instanceof z.ZodOptional) return { ...unwrapped(schema.def.innerType), isOptional: true }
  if (schema instanceof z.ZodPrefault)
    return { ...unwrapped(schema.def.innerType), fallback: schema.def.defaultValue, isOptional: true }
  return { inner: schema, isOptional: false }
}

// ── the document ────────────────────────────────────────────────────────────

function partsOf(document: string): readonly [before: string, tables: string, after: string] {
  const [before, rest, ...more] = document.split('<!-- tables -->')
  const [tables, after] = rest?.split('<!-- end of tables -->') ?? []
  if (before === undefined || tables === undefined || after === undefined || more.length > 0) {
    throw new Error('docs/configuration.md has lost the marks around its tables')
  }
  return [before, tables, after]
}

if (import.meta.main) {
  writeFileSync(schemaFile, `${JSON.stringify(jsonSchema(), null, 2)}\n`)
  const [before, , after] = partsOf(readFileSync(documentFile, 'utf8'))
  const marked = `<!-- tables -->\n\n${referenceTables()}\n\n<!-- end of tables -->`
  writeFileSync(documentFile, `${before}${marked}${after}`)
}
