/* Which domains are ours, and by which name we go. */
import { hostname } from 'node:os'
import type { ConfigFile } from './config-file.ts'

/** Domains whose mail is for accounts here. */
export function localDomainsOf({ server, smtp }: Pick<ConfigFile, 'server' | 'smtp'>): readonly string[] {
  return (smtp['local-domains'] ?? [hostNameOf(server)]).map((domain) => domain.toLowerCase())
}

/** Domains whose mail the store may get; nothing when that is any: a route leads there, or asks a directory that may say so. */
export function storeDomainsOf(file: Pick<ConfigFile, 'server' | 'smtp' | 'route'>): readonly string[] | undefined {
  return file.route.some(({ to, ask }) => to === 'store' || ask !== undefined) ? undefined : localDomainsOf(file)
}

export function hostNameOf({ hostname: name }: ConfigFile['server']): string {
  return name ?? nameOfMachine()
}

/** The machine's own name when mail can use it, which asks for letters, digits and hyphens. */
function nameOfMachine(): string {
  const name = hostname().toLowerCase()
  return /^[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?$/.test(name) ? name : 'localhost'
}
