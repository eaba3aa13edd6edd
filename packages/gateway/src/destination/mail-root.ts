import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'

/** The directory of the embedded store: a folder in it for each account. */
export function mailRoot(dataDir: string): string {
  return join(dataDir, 'mail')
}

export async function makeMailRoot(dataDir: string): Promise<void> {
  await mkdir(mailRoot(dataDir), { recursive: true, mode: 0o700 })
}
