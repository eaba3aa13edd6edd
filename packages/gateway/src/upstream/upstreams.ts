import type { ListenerInfo } from '@postern/core'
import { commonExtensions, extensionsOf, type Capabilities, type DestinationExtensions } from '@postern/smtp'
import type { LiveConfig } from '../config/schema.ts'
import { RouteTable } from '../route/route-table.ts'
import { BackendGroup, type BackendState } from './backend-group.ts'
import { Upstream } from './upstream.ts'
import type { UserNames } from './user-key.ts'

export interface UpstreamsOptions {
  /** This worker met a failure: the supervisor may look at once. */
  readonly onSuspicion: (upstream: string, backend: string) => void
  readonly log: { avoided(upstream: string, backend: string, forMs: number, detail: string): void }
  /** How users are told apart. */
  readonly names?: UserNames
  /** A connection to a backend came to something, or did not. */
  readonly onOutcome?: (upstream: string, outcome: 'opened' | 'reused' | 'failed') => void
}

/** All upstreams of one snapshot of the configuration, and the routes that lead to them. */
export class Upstreams {
  readonly routes: RouteTable
  readonly #byName: ReadonlyMap<string, Upstream>

  constructor({ upstreams, routes }: Pick<LiveConfig, 'upstreams' | 'routes'>, options: UpstreamsOptions) {
    const { onSuspicion, onOutcome, log, names } = options
    this.routes = new RouteTable(routes, upstreams)
    this.#byName = new Map(
      upstreams.map((config) => {
        const { name } = config
        const group = new BackendGroup(config, {
          onSuspicion: (backend) => onSuspicion(name, backend),
          onAvoided: (backend, forMs, detail) => log.avoided(name, backend, forMs, detail),
          onOutcome: (outcome) => onOutcome?.(name, outcome),
        })
        return [name, new Upstream(config, group, names)]
      }),
    )
  }

  /** @throws when there is none: routes are checked with the configuration, so that is a bug. */
  find(name: string): Upstream {
    const upstream = this.#byName.get(name)
    if (upstream === undefined) throw new Error(`no upstream is named ${name}`)
    return upstream
  }

  /** What the supervisor found. */
  receive(states: readonly BackendState[]): void {
    for (const state of states) {
      const upstream = this.#byName.get(state.upstream)
      upstream?.group.receive(state)
      if (!state.isUp) upstream?.idle?.leave(state.backend)
    }
  }

  /** Lets go of connections that no message is on. */
  close(): void {
    for (const { idle } of this.#byName.values()) idle?.close()
  }

  /**
   * What mail may be promised that can go to each of these, and to these other places. Learned from backends, so it
   * changes; asked at each EHLO. A backend of which nothing is known yet promises nothing.
   *
   * @param isApart - a transaction leads to one of these places only.
   */
  extensionsOf(
    names: readonly string[],
    others: readonly DestinationExtensions[],
    isApart = true,
  ): () => DestinationExtensions {
    const upstreams = names.map((name) => this.find(name))
    const hasSeveralPlaces = isApart && upstreams.length + others.length > 1
    let known = commonExtensions([])
    let madeAt = -1
    return () => {
      const changes = upstreams.reduce((sum, { group }) => sum + group.changes, 0)
      if (changes === madeAt) return known
      madeAt = changes
      const common = commonExtensions([...upstreams.flatMap(extensionsOfUpstream), ...others])
      known = { ...common, ...(hasSeveralPlaces ? { maxRecipientDomains: 1 } : {}) }
      return known
    }
  }

  /**
   * @returns tells why nothing that comes in on a listener could go anywhere now; nothing while some could. Absent where
   *   it does not depend on backends (`dependsOn`).
   */
  troubleOf(
    listener: Pick<ListenerInfo, 'name' | 'protocol'>,
    live: Parameters<RouteTable['dependsOn']>[1],
  ): (() => string | undefined) | undefined {
    const upstreams = this.routes.dependsOn(listener, live)
    if (upstreams === undefined) return undefined
    const reachable = [...upstreams].map((name) => this.find(name))
    return () =>
      reachable.every((upstream) => upstream.isDown)
        ? reachable.map(({ name, group }) => `${name}: ${group.trouble}`).join('; ')
        : undefined
  }
}

function extensionsOfUpstream({ config, group }: Upstream): DestinationExtensions[] {
  const protocol = config.protocol === 'lmtp' ? 'lmtp' : 'smtp'
  const isVerified = config.tls.mode === 'starttls' || config.tls.mode === 'implicit'
  const offers = group.offers.length === 0 ? [[]] : group.offers
  return offers.map((lines) => extensionsOf(asCapabilities(lines), { protocol, isVerified }))
}

/** `SIZE 1000` and its like, as the client of SMTP reads them. */
function asCapabilities(lines: readonly string[]): Capabilities {
  return new Map(
    lines.map((line) => {
      const [keyword = '', ...parameters] = line.split(' ')
      return [keyword, parameters]
    }),
  )
}
