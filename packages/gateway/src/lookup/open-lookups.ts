import type { LookupConfig } from '../config/schema.ts'
import type { Directory } from '../route/route-finder.ts'
import { CachedLookup } from './cached-lookup.ts'
import type { Lookup } from './lookup.ts'
import { openRedisLookup } from './redis-lookup.ts'

/** Opens every directory of a configuration. One that cannot be opened is left out, and told: routes that ask it fail. */
export async function openLookups(
  configs: readonly LookupConfig[],
  log: { lookupFailed(lookup: string, detail: string): void },
): Promise<ReadonlyMap<string, Directory>> {
  const directories = new Map<string, Directory>()
  await Promise.all(
    configs.map(async (config) => {
      const { name, cacheMs, cacheEntries, whenDown } = config
      try {
        const lookup = await open(config, (error) => log.lookupFailed(name, error.message))
        const cached = new CachedLookup(lookup, { maxAgeMs: cacheMs, maxEntries: cacheEntries })
        directories.set(name, { lookup: cached, whenDown })
      } catch (error) {
        log.lookupFailed(name, error instanceof Error ? error.message : String(error))
      }
    }),
  )
  return directories
}

async function open(config: LookupConfig, onError: (error: Error) => void): Promise<Lookup> {
  const { url, dialect, prefix, timeoutMs, retries } = config
  if (url.startsWith('redis')) return openRedisLookup({ url, prefix, timeoutMs, retries, onError })
  // Its HTTP client takes a quarter of the time in which a worker starts, and most gateways ask no directory.
  const { HttpLookup } = await import('./http-lookup.ts')
  return new HttpLookup({ url, dialect, timeoutMs, retries })
}
