/*
 * Mail and logins that would come back to us for ever: a listener whose routes lead to an upstream one of whose backends is
 * a listener of this gateway, from where they lead back. A chain of listeners that ends is in order, and so is one of which
 * nobody can say: what a name resolves to, what a directory answers, and whether a condition holds at the second hop, where
 * the client and its TLS are others, is not known here. Such a loop ends at `max-hops`, or at the connections of one client.
 *
 * What stays the same from hop to hop is the recipient of mail and the user of a login. So each of them that could go round
 * is followed by itself; there are no more kinds than the routes to our own listeners have patterns, and one for all that
 * none of them names.
 */
import { parseIpAddress, type IpAddress } from '@postern/core'
import { networkInterfaces } from 'node:os'
import { networks } from '../policy/networks.ts'
import { patternsOf } from '../route/patterns.ts'
import { leadsOut, upstreamOf } from '../route/route-table.ts'
import { formatBackendAddress, type BackendAddress } from './backend-address.ts'
import { isLoopback } from './bind-address.ts'
import type { Resolving } from './resolving.ts'
import type { BindAddress, ListenerConfig, RouteConfig, UpstreamConfig } from './schema.ts'

interface Surroundings {
  readonly listeners: readonly ListenerConfig[]
  readonly upstreams: readonly UpstreamConfig[]
  readonly routes: readonly RouteConfig[]
  /** Our own connections may have the right to relay: routes without recipients count at every hop. */
  readonly mayRelayOn: boolean
}

/** One step of the way: by a route to a backend that is a listener of ours. */
interface Step {
  readonly listener: string
  readonly route: number
  readonly door: Door
}

interface Door {
  readonly upstream: string
  readonly address: BackendAddress
  readonly listener: string
}

export function refuseLoops(surroundings: Surroundings, { problems }: Pick<Resolving, 'problems'>): void {
  const { listeners, upstreams, routes } = surroundings
  const doors = doorsOf(listeners, upstreams)
  if (doors.size === 0) return
  const ours = [...doors.values()].flat().flatMap(({ address }) => ('host' in address ? hostsOf(address.host) : []))
  const clients = ['127.0.0.1', '::1', ...ours].map((host) => parseIpAddress(host)).filter((each) => each !== undefined)
  // What is wrong with a route may be the condition by which it ends a loop.
  const isSound = routes.map((_, index) => problems.isSound('route', index))
  const told = new Set<string>()
  for (const kind of ['mail', 'logins'] as const) {
    const isOfKind = ({ protocol }: { readonly protocol: string }): boolean =>
      (protocol === 'imap') === (kind === 'logins')
    const ways = new Set(upstreams.filter(isOfKind).map(({ name }) => name))
    const decisions = new Decisions(routes, { kind, ways, isSound, clients })
    for (const traveller of travellers(surroundings, { kind, ways, doors })) {
      const stepsFrom = (listener: string): readonly Step[] => {
        const route = decisions.first(traveller, listener) ?? -1
        const to = routes[route]?.to
        if (to?.kind !== 'upstream') return []
        return (doors.get(to.upstream) ?? []).map((door) => ({ listener, route, door }))
      }
      for (const loop of loopsAmong(listeners.filter(isOfKind), stepsFrom)) {
        const key = [...new Set(loop.map(({ route }) => route))].toSorted((a, b) => a - b).join(' ')
        if (told.has(key)) continue
        told.add(key)
        const last = loop.at(-1)!
        problems.add({
          path: ['route', last.route, 'to'],
          expected: 'an upstream from which nothing comes back to where it came from',
          found: `"${last.door.upstream}", and so a loop: ${loop.map(formatStep).join(', ')}, listener ${last.door.listener}`,
        })
      }
    }
  }
}

function formatStep({ listener, route, door }: Step): string {
  return `listener ${listener}, route[${route}], upstream ${door.upstream} (${formatBackendAddress(door.address)})`
}

// ── where backends are listeners of ours ────────────────────────────────────

/** By upstream. Who speaks another protocol to a listener does not get far there. */
function doorsOf(
  listeners: readonly ListenerConfig[],
  upstreams: readonly UpstreamConfig[],
): ReadonlyMap<string, readonly Door[]> {
  const own = ownAddresses()
  const binds = listeners.flatMap(({ bind }) => bind)
  const doors = new Map<string, Door[]>()
  for (const { name: upstream, protocol, backends } of upstreams) {
    const speaks = listeners.filter((each) => (each.protocol === 'submission' ? 'smtp' : each.protocol) === protocol)
    for (const { address } of backends) {
      const found = speaks.find(({ bind }) => bind.some((one) => leadsTo(address, one, { binds, own })))
      if (found === undefined) continue
      doors.set(upstream, [...(doors.get(upstream) ?? []), { upstream, address, listener: found.name }])
    }
  }
  return doors
}

/** Whether who connects to the address of a backend comes to what is bound here. */
export function leadsTo(
  address: BackendAddress,
  bind: BindAddress,
  { binds, own }: { readonly binds: readonly BindAddress[]; readonly own: ReadonlySet<string> },
): boolean {
  // No listener has a UNIX socket, and nobody knows yet what port 0 becomes.
  if ('path' in address || address.port !== bind.port) return false
  return hostsOf(address.host).some((host) => {
    if (host === bind.host) return true
    if (!own.has(host) && !isLoopback({ host, port: bind.port })) return false
    if (host.includes(':')) return bind.host === '::'
    // `[::]` takes IPv4 as well, unless `0.0.0.0` of the same port stands beside it.
    const hasIpv4 = binds.some((one) => one.host === '0.0.0.0' && one.port === bind.port)
    return bind.host === '0.0.0.0' || (bind.host === '::' && !hasIpv4)
  })
}

/** What a host is without asking anybody: itself, or loopback by its name (RFC 6761 section 6.3) or as Linux reads it. */
function hostsOf(host: string): readonly string[] {
  if (/(?:^|\.)localhost\.?$/.test(host)) return ['127.0.0.1', '::1']
  if (host === '0.0.0.0') return ['127.0.0.1']
  return host === '::' ? ['::1'] : [host]
}

/** Addresses that this machine has now, in their shortest form. */
function ownAddresses(): ReadonlySet<string> {
  const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? [])
  return new Set(all.map(({ address }) => parseIpAddress(address)?.toString() ?? address))
}

// ── who goes round ──────────────────────────────────────────────────────────

type Kind = 'mail' | 'logins'

interface Traveller {
  /** A recipient or user for whom no route has a narrower pattern than the one that it was made of. */
  readonly name: string
  /** Has no right to relay. */
  readonly isStranger: boolean
}

interface OfKind {
  readonly kind: Kind
  /** The upstreams that take it. */
  readonly ways: ReadonlySet<string>
}

function travellers(
  { routes, mayRelayOn }: Surroundings,
  { kind, ways, doors }: OfKind & { readonly doors: ReadonlyMap<string, unknown> },
): readonly Traveller[] {
  const names = new Set<string>()
  for (const route of routes) {
    if (route.to.kind !== 'upstream' || !ways.has(route.to.upstream) || !doors.has(route.to.upstream)) continue
    const patterns = (kind === 'mail' ? route.recipients : route.users) ?? ['']
    for (const pattern of patterns) names.add(pattern.replace(/^@(?=\.)/, '@?').replace(/^(?=@)/, '?'))
  }
  const rights = kind === 'logins' ? [false] : mayRelayOn ? [true, false] : [true]
  return [...names].flatMap((name) => rights.map((isStranger) => ({ name, isStranger })))
}

interface Known extends OfKind {
  readonly isSound: readonly boolean[]
  /** What our own connections come from. */
  readonly clients: readonly IpAddress[]
}

/** The routes that decide about what comes from us, as far as anybody can say. */
class Decisions {
  readonly #routes: readonly RouteConfig[]
  readonly #isSound: readonly boolean[]
  /** Places in the file. */
  readonly #byPattern = new Map<string, number[]>()
  readonly #ofAll: number[] = []
  /** Of which nobody can say whether they decide what comes from us. */
  readonly #unsure = new Set<number>()

  constructor(routes: readonly RouteConfig[], { kind, ways, isSound, clients }: Known) {
    this.#routes = routes
    this.#isSound = isSound
    for (const [place, { to, listeners: _, ...conditions }] of routes.entries()) {
      const upstream = upstreamOf(to)
      if (upstream !== undefined && !ways.has(upstream)) continue
      const { [kind === 'mail' ? 'recipients' : 'users']: patterns, ...others } = conditions
      const isWrong = isSound[place] === false
      if (!isWrong && !mayHoldForUs(others, clients)) continue
      if (isWrong || to.kind === 'lookup' || Object.keys(others).length > 0) this.#unsure.add(place)
      if (isWrong || patterns === undefined) this.#ofAll.push(place)
      else {
        for (const pattern of patterns) this.#byPattern.set(pattern, [...(this.#byPattern.get(pattern) ?? []), place])
      }
    }
  }

  /** The route that decides for certain; `undefined` as well when one before it may. */
  first({ name, isStranger }: Traveller, listener: string): number | undefined {
    const named = [...patternsOf(name)].flatMap((pattern) => this.#byPattern.get(pattern) ?? [])
    const first = [...named, ...this.#ofAll]
      .sort((a, b) => a - b)
      .find((place) => {
        const { to, recipients, listeners } = this.#routes[place]!
        if (this.#isSound[place] === false) return true
        if (listeners !== undefined && !listeners.includes(listener)) return false
        return !isStranger || recipients !== undefined || !leadsOut(to)
      })
    return first === undefined || this.#unsure.has(first) ? undefined : first
  }
}

/**
 * Whether a route that did not hold for somebody may hold for our connection on their behalf. It does not by who they are,
 * which goes along or is lost on the way.
 */
function mayHoldForUs({ recipients, users, clients }: Partial<RouteConfig>, ours: readonly IpAddress[]): boolean {
  if (recipients !== undefined || users !== undefined) return false
  if (clients === undefined) return true
  const named = networks(clients)
  return ours.some((address) => named.has(address))
}

// ── the loops ───────────────────────────────────────────────────────────────

/** Each way that comes back to a listener which it passed. */
function loopsAmong(
  listeners: readonly ListenerConfig[],
  stepsFrom: (listener: string) => readonly Step[],
): readonly (readonly Step[])[] {
  const loops: (readonly Step[])[] = []
  const done = new Set<string>()
  const follow = (listener: string, way: readonly Step[]): void => {
    const start = way.findIndex((step) => step.listener === listener)
    if (start !== -1) loops.push(way.slice(start))
    if (start !== -1 || done.has(listener)) return
    for (const step of stepsFrom(listener)) follow(step.door.listener, [...way, step])
    done.add(listener)
  }
  for (const { name } of listeners) follow(name, [])
  return loops
}
