/* From the tables [[route]] and [lookup.NAME] to what they come to, and what they mean together with the upstreams. */
import { foldAddress } from '../route/patterns.ts'
import type { ListenerTable, LookupTable, RouteTable } from './config-file.ts'
import type { KeyPath } from './key-path.ts'
import { refuseUnreachable } from './refuse-unreachable.ts'
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
  refuseUnreachable(routes, upstreams, resolving)
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
