/*
 * From the tables [[route]] to what they come to. The first that matches decides, so a route behind one that takes all it
 * could match would never be asked: that is a problem, and is told with the route that stands before it.
 */
import { compileCidrSet, parseIpAddress } from '@postern/core'
import { foldAddress } from '../route/patterns.ts'
import type { ListenerTable, LookupTable, RouteTable } from './config-file.ts'
import type { KeyPath } from './key-path.ts'
import type { Resolving } from './resolving.ts'
import type { LookupConfig, RouteConfig, RouteTarget, UpstreamConfig } from './schema.ts'

export interface RouteSurroundings {
  readonly upstreams: readonly UpstreamConfig[]
  readonly listeners: readonly { readonly name: string; readonly protocol: string }[]
  readonly lookups: Readonly<Record<string, LookupTable>>
}

export function resolveRoutes(
  tables: readonly RouteTable[],
  { upstreams, listeners, lookups }: RouteSurroundings,
  resolving: Resolving,
): RouteConfig[] {
  const { problems, warn } = resolving
  const routes = tables.map((table, index): RouteConfig => {
    const path: KeyPath = ['route', index]
    const to = targetOf(table, lookups)
    const named = to.kind === 'upstream' || to.kind === 'lookup' ? to.upstream : undefined
    const upstream = upstreams.find(({ name }) => name === named)
    if (table.to === undefined && table.ask === undefined && problems.isSound(...path)) {
      problems.add({ path: [...path, 'to'], expected: '"store", "refuse", or an [upstream.NAME]', found: 'nothing' })
    }
    if (table.ask !== undefined) checkAsk(path, table, lookups, resolving)
    if (named !== undefined && upstream === undefined && problems.isSound('upstream', named)) {
      const known = upstreams.map(({ name }) => `"${name}"`).join(', ')
      const found = `"${named}"${known === '' ? ', and there is no upstream' : `; there is ${known}`}`
      problems.add({ path: [...path, 'to'], expected: '"store", "refuse", or an [upstream.NAME] of this file', found })
    }
    if (upstream?.protocol === 'imap' && table.recipients !== undefined) {
      const expected = 'nothing, since an IMAP upstream takes no mail'
      problems.add({ path: [...path, 'recipients'], expected, found: 'a list of recipients' })
    }
    for (const [place, name] of (table.listeners ?? []).entries()) {
      if (listeners.some((listener) => listener.name === name) || !problems.isSound('listener', name)) continue
      const known = listeners.map((listener) => listener.name).join(', ')
      const expected = `a listener of this file: ${known}`
      problems.add({ path: [...path, 'listeners', place], expected, found: `"${name}"` })
    }
    return { ...conditionsOf(table), to }
  })
  const kindOf = ({ to }: RouteConfig): string => {
    if ((to.kind !== 'upstream' && to.kind !== 'lookup') || to.upstream === undefined) return 'both'
    return upstreams.find(({ name }) => name === to.upstream)?.protocol === 'imap' ? 'logins' : 'mail'
  }
  for (const [index, route] of routes.entries()) {
    const before = routes.findIndex(
      (earlier, place) =>
        place < index &&
        (kindOf(earlier) === 'both' || kindOf(earlier) === kindOf(route)) &&
        takesAllOf(earlier, route),
    )
    if (before === -1) continue
    const expected = 'a route that can be reached: the first that matches decides'
    problems.add({
      path: ['route', index],
      expected,
      found: `one behind route[${before}], which takes all that this one could`,
    })
  }
  for (const { name } of upstreams) {
    // A directory may name any upstream.
    const isUsed = routes.some(({ to }) => to.kind === 'lookup' || (to.kind === 'upstream' && to.upstream === name))
    if (!isUsed && problems.isSound('route')) warn(['upstream', name], 'no route leads to this upstream')
  }
  return routes
}

interface SignInFacts {
  readonly tables: Readonly<Record<string, ListenerTable>>
  readonly upstreams: readonly UpstreamConfig[]
  readonly routes: readonly RouteConfig[]
}

/** Backends that are told credentials: there must be some to ask where they are the judge, over a way that keeps a secret. */
export function checkSignIn(facts: SignInFacts, { problems }: Resolving): void {
  for (const [name, { protocol, 'sign-in': signIn }] of Object.entries(facts.tables)) {
    const isJudge = signIn === 'upstream'
    const path: KeyPath = ['listener', name, 'sign-in']
    if (isJudge && protocol !== 'submission' && protocol !== 'imap') {
      const expected = '"accounts", unless protocol = "submission" or "imap"'
      problems.add({ path, expected, found: `protocol = "${protocol}"` })
      continue
    }
    // Users of an IMAP listener are always signed in at their backends, whoever judges them.
    if (!isJudge && protocol !== 'imap') continue
    const spoken = protocol === 'imap' ? 'imap' : 'smtp'
    const asked = upstreamsOf(name, spoken, facts)
    if (isJudge && asked.length === 0 && problems.isSound('route') && problems.isSound('upstream')) {
      const found = 'no route without `recipients` that leads to one'
      problems.add({ path, expected: `an ${spoken.toUpperCase()} upstream that can be asked`, found })
    }
    for (const { name: upstream, tls, sendsCredentialsInClear, master } of asked) {
      if (isJudge && master !== undefined) {
        const expected = `nothing, since it would let in everybody who comes by listener ${name}, where the backend is the judge (sign-in = "upstream")`
        problems.add({ path: ['upstream', upstream, 'master-user'], expected, found: `"${master.username}"` })
      }
      if (sendsCredentialsInClear || tls.mode === 'starttls' || tls.mode === 'implicit') continue
      problems.add({
        path: ['upstream', upstream, 'tls'],
        expected: `"starttls" or "implicit", or credentials-in-clear = true, since listener ${name} sends credentials there`,
        found: `"${tls.mode}"`,
      })
    }
  }
}

/** Upstreams to which users of a listener may come. A directory may name any of them. */
function upstreamsOf(
  listener: string,
  spoken: UpstreamConfig['protocol'],
  { upstreams, routes }: SignInFacts,
): readonly UpstreamConfig[] {
  const open = routes.filter(
    ({ listeners, recipients }) => recipients === undefined && (listeners?.includes(listener) ?? true),
  )
  return upstreams.filter(
    ({ name, protocol }) =>
      protocol === spoken &&
      open.some(
        ({ to }) =>
          (to.kind === 'upstream' && to.upstream === name) ||
          (to.kind === 'lookup' && (to.upstream === name || (spoken === 'imap' && to.upstream === undefined))),
      ),
  )
}

function targetOf({ to, ask }: RouteTable, lookups: RouteSurroundings['lookups']): RouteTarget {
  if (ask !== undefined) {
    const lookup = lookups[ask]
    const namesRecipients = lookup?.['names-recipients'] ?? lookup?.url.startsWith('redis') ?? false
    return { kind: 'lookup', lookup: ask, namesRecipients, ...(to === undefined ? {} : { upstream: to }) }
  }
  // Without either the route is a problem already.
  if (to === undefined) return { kind: 'refuse' }
  return to === 'store' || to === 'refuse' ? { kind: to } : { kind: 'upstream', upstream: to }
}

function checkAsk(
  path: KeyPath,
  { ask = '', to }: RouteTable,
  lookups: RouteSurroundings['lookups'],
  { problems }: Resolving,
): void {
  if (to === 'store' || to === 'refuse') {
    problems.add({ path: [...path, 'to'], expected: 'an upstream, beside `ask`', found: `"${to}"` })
  }
  if (Object.hasOwn(lookups, ask) || !problems.isSound('lookup', ask)) return
  const known = Object.keys(lookups).join(', ')
  const found = `"${ask}"${known === '' ? ', and there is no lookup' : `; there is ${known}`}`
  problems.add({ path: [...path, 'ask'], expected: 'a [lookup.NAME] of this file', found })
}

export function resolveLookups(tables: Readonly<Record<string, LookupTable>>, { problems }: Resolving): LookupConfig[] {
  return Object.entries(tables).map(([name, table]) => {
    if (!URL.canParse(table.url)) {
      problems.add({ path: ['lookup', name, 'url'], expected: 'a URL', found: 'one that cannot be read' })
    }
    return {
      name,
      url: table.url,
      dialect: table.dialect,
      prefix: table.prefix,
      timeoutMs: table.timeout,
      retries: table.retries,
      cacheMs: table['cache-time'] === 'off' ? 0 : table['cache-time'],
      cacheEntries: table['cache-entries'],
      whenDown: table['when-down'],
    }
  })
}

/** In the form in which they are compared: without case, and names of domains in ASCII (RFC 5890 section 2.3.2.1). */
function conditionsOf(table: RouteTable): Omit<RouteConfig, 'to'> {
  const { recipients, users, authorities, clients, listeners, 'server-names': serverNames } = table
  return {
    ...(recipients === undefined
      ? {}
      : { recipients: recipients.map((text) => foldAddress(text.includes('@') ? text : `@${text}`)) }),
    ...(users === undefined ? {} : { users: users.map(foldAddress) }),
    ...(serverNames === undefined ? {} : { serverNames: serverNames.map((name) => name.toLowerCase()) }),
    ...(authorities === undefined ? {} : { authorities: authorities.map((name) => name.toLowerCase()) }),
    ...(clients === undefined ? {} : { clients }),
    ...(listeners === undefined ? {} : { listeners }),
  }
}

type Condition = Exclude<keyof RouteConfig, 'to'>
const conditions: readonly Condition[] = ['recipients', 'users', 'serverNames', 'authorities', 'clients', 'listeners']

function takesAllOf(earlier: RouteConfig, later: RouteConfig): boolean {
  // A directory may leave the question open.
  if (earlier.to.kind === 'lookup') return false
  // Without the right to relay an earlier route that names no recipients does not take a stranger's mail.
  if (earlier.recipients === undefined && later.recipients !== undefined && earlier.to.kind === 'upstream') return false
  return conditions.every((condition) => {
    const wide = earlier[condition]
    const narrow = later[condition]
    if (wide === undefined) return true
    if (narrow === undefined) return false
    const isWithin = condition === 'clients' ? isNetworkWithin : isNameWithin
    return narrow.every((value) => wide.some((pattern) => isWithin(value, pattern)))
  })
}

/** Every name that `value` stands for, `pattern` stands for as well. */
function isNameWithin(value: string, pattern: string): boolean {
  if (value === pattern) return true
  const at = value.lastIndexOf('@')
  // Of addresses only `@example.org` and `@.example.org` stand for more than one; of names only `.example.org`.
  if (pattern.lastIndexOf('@') > 0 || (pattern.startsWith('@') && at === -1)) return false
  const domain = value.slice(at + 1)
  const wide = pattern.replace(/^@/, '')
  return wide.startsWith('.') ? domain.endsWith(wide) : pattern.startsWith('@') && domain === wide
}

function isNetworkWithin(value: string, network: string): boolean {
  if (value === network) return true
  const compiled = compileCidrSet([network])
  const [address = '', length] = value.split('/')
  const parsed = parseIpAddress(address)
  if (!compiled.ok || parsed === undefined) return false
  const [, wideLength] = network.split('/')
  const full = parsed.family === 4 ? 32 : 128
  const isWider = Number(wideLength ?? full) <= Number(length ?? full)
  return isWider && compiled.set.has(parsed)
}
