import { isDeepStrictEqual } from 'node:util'
import type { StartConfig } from '../config/schema.ts'

/** What of the start part differs, by the names of the configuration file. */
export function startChanges(running: StartConfig, next: StartConfig): readonly string[] {
  const changes: string[] = []
  if (running.workers !== next.workers) changes.push('server.workers')
  if (running.dataDir !== next.dataDir) changes.push('server.data-dir')
  if (running.user !== next.user) changes.push('server.user')
  if (!isDeepStrictEqual(running.admin, next.admin)) changes.push('admin')
  const names = new Set([...running.listeners, ...next.listeners].map((listener) => listener.name))
  for (const name of names) {
    const before = running.listeners.find((listener) => listener.name === name)
    const after = next.listeners.find((listener) => listener.name === name)
    if (!isDeepStrictEqual(before, after)) changes.push(`listener.${name}`)
  }
  return changes
}
