import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

const root = join(import.meta.dirname, '../..')

export const rowId: RegExp = /\b(?:PX|PO|TR|LG|SM|TL|SC|MS|AU|IM|MB|ST|BK|DN|RD|PR|RS|OP|JS|SU|HD)-\d\d\b/g

/** Test files, and what several of them run: a suite, and a table of hostile messages. */
const files = ['packages/*/test/**/*.test.ts', 'packages/*/test/{conformance,message/bombs}.ts', 'test/**/*.test.ts']

/** Row to the files whose tests are named for it, from the root of the tree. What a comment says proves nothing. */
export function testsOfRows(): ReadonlyMap<string, readonly string[]> {
  const found = new Map<string, string[]>()
  for (const file of globSync(files, { cwd: root }).sort()) {
    const code = readFileSync(join(root, file), 'utf8')
      .replace(/^\s*\/\*[\s\S]*?\*\//gm, '')
      .replace(/^\s*\/\/.*$/gm, '')
    for (const row of new Set(code.match(rowId))) found.set(row, [...(found.get(row) ?? []), file])
  }
  return found
}
