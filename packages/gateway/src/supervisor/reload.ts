import { isDeepStrictEqual } from 'node:util'
import type { Config, LiveConfig, StartConfig } from '../config/schema.ts'

/**
 * The live part of a new configuration, fitted to the listeners that run: those are of the start part, and stay until a
 * restart. One that the new configuration no longer has keeps what it had.
 */
export function liveFor(running: Config, next: Config): LiveConfig {
  const listeners = running.live.listeners.map(
    (old) => next.live.listeners.find((listener) => listener.name === old.name) ?? old,
  )
  const certificates = next.live.certificates.length > 0 ? next.live.certificates : running.live.certificates
  const clientCa = next.live.clientCa ?? running.live.clientCa
  return { ...next.live, listeners, certificates, ...(clientCa === undefined ? {} : { clientCa }) }
}

/** What of the start part differs, by the names of the configuration file: these changes wait for a restart. */
export function startChanges(running: StartConfig, next: StartConfig): readonly string[] {
  const changes: string[] = []
  if (running.workers !== next.workers) changes.push('server.workers')
  if (running.dataDir !== next.dataDir) changes.push('server.data-dir')
  if (!isDeepStrictEqual(running.admin, next.admin)) changes.push('admin')
  const names = new Set([...running.listeners, ...next.listeners].map((listener) => listener.name))
  for (const name of names) {
    const before = running.listeners.find((listener) => listener.name === name)
    const after = next.listeners.find((listener) => listener.name === name)
    if (!isDeepStrictEqual(before, after)) changes.push(`listener.${name}`)
  }
  return changes
}
