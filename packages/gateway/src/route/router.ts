/*
 * Where the mail of one recipient goes: by the routes of the configuration, and where none of them says anything, by the
 * domains that are ours.
 */
import type {
  Awaitable,
  CidrSet,
  ConnectionInfo,
  Decision,
  Principal,
  RecipientQuestion,
  Route,
  Router,
} from '@postern/core'
import type { FoundRoute, RouteFinder } from './route-finder.ts'
import { splitMailbox } from './local-mailbox.ts'
import type { LocalRouter } from './table-router.ts'

export interface RouterOptions {
  readonly finder: RouteFinder
  readonly local: LocalRouter
  /** Who may relay without signing in. */
  readonly relayNetworks: CidrSet
}

export function createRouter({ finder, local, relayNetworks }: RouterOptions): Router {
  const mayRelay = ({ identity }: ConnectionInfo, principal: Principal | undefined): boolean =>
    // A balancer that speaks for itself is nobody: what it may send as a peer, its clients may not.
    identity.origin !== 'proxy-itself' && (principal !== undefined || relayNetworks.has(identity.client.address))
  const find = (at: RecipientQuestion): Awaitable<Route> => {
    const { forwardPath, connection, principal } = at
    const isKnown = mayRelay(connection, principal)
    const finding = finder.forMail(questionOf(at), isKnown)
    const routed = (found: FoundRoute | undefined): Awaitable<Route> => {
      if (found === undefined) return local.forRecipient(at)
      if (found.kind === 'store') return local.intoStore(forwardPath)
      if (found.kind === 'refuse') return nowhere(found.decision)
      if (!isKnown && hasForeignRouting(forwardPath)) return nowhere(foreignRouting)
      const { upstream, server } = found
      return { to: 'upstream', upstream, ...(server === undefined ? {} : { server }) }
    }
    return finding instanceof Promise ? finding.then(routed) : routed(finding)
  }
  const reconsider = async (at: RecipientQuestion, before: Route): Promise<Route | undefined> => {
    if (!finder.forgetMail(questionOf(at), mayRelay(at.connection, at.principal))) return undefined
    const route = await find(at)
    return isSamePlace(before, route) ? undefined : route
  }
  return { forRecipient: find, reconsider }
}

function questionOf({ forwardPath, connection, principal, envelope, helo }: RecipientQuestion) {
  const { reversePath } = envelope
  return { recipient: forwardPath, username: principal?.username, connection, reversePath, helo }
}

/** To be refused in other words is no other place. */
function isSamePlace(before: Route, route: Route): boolean {
  if (before.to === 'upstream' && route.to === 'upstream') {
    return before.upstream === route.upstream && before.server === route.server
  }
  return before.to === route.to
}

/**
 * `bob%elsewhere@ours`, `elsewhere!bob@ours`, `"bob@elsewhere"@ours`: a backend that trusts this gateway may read such a
 * local part as a request to relay (RFC 5321 section 3.6.1), and would do so for anybody.
 */
function hasForeignRouting(forwardPath: string): boolean {
  return /[%!@]/.test(splitMailbox(forwardPath).localPart)
}

function nowhere(decision: Decision): Route {
  return { to: 'nowhere', decision }
}

const foreignRouting: Decision = {
  verdict: 'refuse',
  reason: 'no-relay',
  detail: 'the local part holds %, ! or @, which a backend may take for a request to relay',
}
