import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll } from 'vitest'

const made = new Set<string>()

/** A new empty folder, gone after the last test of the file. */
export function temporaryFolder(name: string): string {
  const folder = mkdtempSync(join(tmpdir(), `postern-${name}-`))
  made.add(folder)
  return folder
}

// Registered before any hook of the file that imports this, so it runs after them all.
afterAll(() => {
  for (const folder of made) rmSync(folder, { recursive: true, force: true })
})
