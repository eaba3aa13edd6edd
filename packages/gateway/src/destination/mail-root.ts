import { join } from 'node:path'

/** The directory of the embedded store: a folder in it for each account. */
export function mailRoot(dataDir: string): string {
  return join(dataDir, 'mail')
}
