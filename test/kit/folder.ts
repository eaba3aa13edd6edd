import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const made = new Set<string>()

/** A new empty folder, gone when the process ends. */
export function temporaryFolder(name: string): string {
  const folder = mkdtempSync(join(tmpdir(), `postern-${name}-`))
  made.add(folder)
  return folder
}

process.once('exit', () => {
  for (const folder of made) rmSync(folder, { recursive: true, force: true })
})
