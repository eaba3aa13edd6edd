import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { parse } from 'smol-toml'
import { parseConfig } from '../../src/config/load.ts'
import { documentFile, jsonSchema, referenceTables, schemaFile, tablesIn } from './reference.ts'

const document = readFileSync(documentFile, 'utf8')

/** Formatting pads tables; what they say is compared. */
function cellsOf(tables: string): string[] {
  return tables
    .split('\n')
    .map((line) => line.replaceAll(/\s+/g, ' ').replaceAll(/-{3,}/g, '---').trim())
    .filter((line) => line !== '')
}

// When one of these fails: node --conditions=@postern/source packages/gateway/test/config/reference.ts, then npm run format.
test('the JSON Schema for editors is that of the program', () => {
  expect(JSON.parse(readFileSync(schemaFile, 'utf8'))).toEqual(jsonSchema())
})

test('docs/configuration.md has every key, as the program reads it', () => {
  expect(cellsOf(tablesIn(document))).toEqual(cellsOf(referenceTables()))
})

test('the example in docs/configuration.md can be read: only the files that it names are missing', async () => {
  const [, example = ''] = /```toml\n([\s\S]*?)```/.exec(document) ?? []
  expect(Object.keys(parse(example)).length).toBeGreaterThan(3)
  const outcome = await parseConfig(example, { file: 'example', baseDir: '/nowhere' })
  expect(outcome.ok ? [] : outcome.problems.map(({ path, found }) => `${path}: ${found}`)).toEqual([
    'tls.certificates[0].cert: /nowhere/mx.pem: no such file',
    'tls.certificates[0].key: /nowhere/mx.key: no such file',
    'accounts.file: /nowhere/accounts.toml: no such file',
  ])
})
