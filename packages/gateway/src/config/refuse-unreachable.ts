/*
 * A route behind one that takes all it could match would never be asked: that is a problem, and is told with the first route
 * that does so.
 *
 * To compare each of a thousand routes with all before it takes a second. So the earlier ones are found as routes are when
 * mail comes, by the patterns that stand for what is named or for more. Each stands there under one of its conditions: that
 * whose patterns the fewest routes share.
 */
import { parseIpAddress } from '@postern/core'
import { domainPatternsOf, patternsOf } from '../route/patterns.ts'
import { upstreamOf } from '../route/route-table.ts'
import type { Resolving } from './resolving.ts'
import type { RouteConfig, UpstreamConfig } from './schema.ts'

type Upstreams = readonly Pick<UpstreamConfig, 'name' | 'protocol'>[]

export function refuseUnreachable(
  routes: readonly RouteConfig[],
  upstreams: Upstreams,
  { problems }: Pick<Resolving, 'problems'>,
): void {
  for (const [index, before] of takersOf(routes, upstreams).entries()) {
    if (before === undefined) continue
    const expected = 'a route that can be reached: the first that matches decides'
    const found = `one behind route[${before}], which takes all that this one could`
    problems.add({ path: ['route', index], expected, found })
  }
}

/** For each route the first before it that takes all it could. */
export function takersOf(routes: readonly RouteConfig[], upstreams: Upstreams): readonly (number | undefined)[] {
  const imap = new Set(upstreams.filter(({ protocol }) => protocol === 'imap').map(({ name }) => name))
  const claims = routes.map((route) => new Claim(route, imap))
  const uses = new Map<string, number>()
  for (const { named } of claims) {
    for (const keys of named.values()) for (const key of keys) uses.set(key, (uses.get(key) ?? 0) + 1)
  }
  const earlier = new Map<string, number[]>()
  return claims.map((claim, index) => {
    const candidates = claim.keysOfTakers().flatMap((key) => earlier.get(key) ?? [])
    const taker = candidates.sort((a, b) => a - b).find((place) => claims[place]!.takesAllOf(claim))
    for (const key of claim.keysToStandUnder(uses)) {
      const places = earlier.get(key)
      if (places === undefined) earlier.set(key, [index])
      else places.push(index)
    }
    return taker
  })
}

type Condition = Exclude<keyof RouteConfig, 'to'>
const conditions: readonly Condition[] = ['recipients', 'users', 'serverNames', 'authorities', 'clients', 'listeners']

/** Of a route without conditions. */
const everything = ''

/** What a route takes. */
class Claim {
  /** The patterns of each condition, as keys that are apart from those of all others. */
  readonly named: ReadonlyMap<Condition, ReadonlySet<string>>
  readonly #route: RouteConfig
  readonly #kind: 'mail' | 'logins' | 'both'

  constructor(route: RouteConfig, imap: ReadonlySet<string>) {
    this.#route = route
    const upstream = upstreamOf(route.to)
    this.#kind = upstream === undefined ? 'both' : imap.has(upstream) ? 'logins' : 'mail'
    const named = new Map<Condition, ReadonlySet<string>>()
    for (const condition of conditions) {
      const values = route[condition]
      if (values !== undefined) named.set(condition, new Set(values.map((value) => ownKey(condition, value))))
    }
    this.named = named
  }

  /** A route that takes all of this one has one of these at least, whichever condition it stands under. */
  keysOfTakers(): readonly string[] {
    const first = [...this.named.keys()].flatMap((condition) => {
      const [value] = this.#route[condition] ?? []
      return value === undefined ? [] : keysFor(condition, value)
    })
    return [everything, ...first]
  }

  keysToStandUnder(uses: ReadonlyMap<string, number>): Iterable<string> {
    let rarest: Iterable<string> = [everything]
    let fewest = Infinity
    for (const keys of this.named.values()) {
      const most = [...keys].reduce((sum, key) => Math.max(sum, uses.get(key) ?? 0), 0)
      if (most < fewest) [rarest, fewest] = [keys, most]
    }
    return rarest
  }

  takesAllOf(later: Claim): boolean {
    const { to, recipients } = this.#route
    // A directory may leave the question open.
    if (to.kind === 'lookup') return false
    if (this.#kind !== 'both' && this.#kind !== later.#kind) return false
    // Without the right to relay an earlier route that names no recipients does not take a stranger's mail.
    if (recipients === undefined && later.#route.recipients !== undefined && to.kind === 'upstream') return false
    return [...this.named].every(([condition, keys]) => {
      const values = later.#route[condition]
      return values?.every((value) => keysFor(condition, value).some((key) => keys.has(key))) === true
    })
  }
}

function ownKey(condition: Condition, value: string): string {
  const [own = ''] = patternsFor[condition](value)
  return `${condition} ${own}`
}

/** What stands for all that a value of a condition stands for: itself first, then what is wider. */
function keysFor(condition: Condition, value: string): readonly string[] {
  return Array.from(patternsFor[condition](value), (pattern) => `${condition} ${pattern}`)
}

/** Each pattern that stands for a value, the value itself first. */
const patternsFor: Readonly<Record<Condition, (value: string) => Iterable<string>>> = {
  recipients: patternsOf,
  users: patternsOf,
  serverNames: domainPatternsOf,
  authorities: domainPatternsOf,
  clients: networksAround,
  listeners: (name) => [name],
}

/** Each in one spelling. An IPv4-mapped network is the IPv4 network. */
function* networksAround(network: string): Iterable<string> {
  const [host = '', length] = network.split('/')
  const address = parseIpAddress(host)
  if (address === undefined) return
  const full = address.family === 4 ? 32 : 128
  const mapped = address.family === 4 && host.includes(':') ? 96 : 0
  const narrowest = length === undefined ? full : Number(length) - mapped
  for (let bits = narrowest; bits >= 0; bits--) yield `${address.network(bits).toString()}/${bits}`
}
