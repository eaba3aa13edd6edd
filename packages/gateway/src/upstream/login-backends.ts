/* The IMAP upstreams, and the routes that lead to them, as sessions of the IMAP package know them. */
import { exporterOf, secret, type Awaitable, type ListenerInfo } from '@postern/core'
import type {
  BackendConnecting,
  BackendCredentials,
  BackendLink,
  ImapLogins,
  LoginBackends,
  LoginQuestion,
  LoginRoute,
} from '@postern/imap'
import type { TLSSocket } from 'node:tls'
import type { UpstreamConfig } from '../config/schema.ts'
import type { FoundRoute, RouteFinder } from '../route/route-finder.ts'
import type { Upstream, UpstreamConnecting } from './upstream.ts'
import type { Upstreams } from './upstreams.ts'

export interface ImapLoginsOptions {
  readonly listener: Pick<ListenerInfo, 'name'>
  readonly judge: ImapLogins['judge']
  readonly upstreams: Upstreams
  readonly finder: RouteFinder
  readonly withholds: NonNullable<ImapLogins['withholds']>
}

/** @returns nothing where no login of this listener leads to a backend: then all mail is in the store. */
export function imapLogins({
  listener,
  judge,
  upstreams,
  finder,
  withholds,
}: ImapLoginsOptions): ImapLogins | undefined {
  const { upstreams: names } = upstreams.routes.reachableFrom(listener.name, 'logins')
  const reachable = [...names].map((name) => upstreams.find(name))
  if (reachable.length === 0) return undefined
  /** By route: as what it was found. */
  const foundAs = new WeakMap<LoginRoute, FoundRoute>()
  const routed = (found: FoundRoute | undefined, question: LoginQuestion): LoginRoute => {
    const route = routeTo(found, question)
    if (found !== undefined) foundAs.set(route, found)
    return route
  }
  const routeTo = (found: FoundRoute | undefined, question: LoginQuestion): LoginRoute => {
    // Where the backend is the judge, somebody for whom no route stands is nobody; else the accounts here are the judge.
    if (found === undefined) return judge === 'backend' ? nobody : { to: 'store' }
    if (found.kind === 'store') return { to: 'store' }
    if (found.kind === 'refuse') return { to: 'nowhere', decision: refusalOf(found.decision) }
    return { to: 'backend', backends: backendsOf(upstreams.find(found.upstream), found, question) }
  }
  return {
    judge,
    // A directory may give credentials, but need not.
    needsPassword: reachable.some(({ config }) => config.master === undefined),
    routeOf(question): Awaitable<LoginRoute> {
      const finding = finder.forLogin(question)
      return finding instanceof Promise ? finding.then((found) => routed(found, question)) : routed(finding, question)
    },
    async reconsider(question, before): Promise<LoginRoute | undefined> {
      if (!finder.forgetLogin(question)) return undefined
      const found = await finder.forLogin(question)
      return isSame(foundAs.get(before), found) ? undefined : routed(found, question)
    },
    offers: () =>
      reachable.flatMap((upstream) => upstream.group.offersOfEach.map((offers) => usable(offers, upstream))),
    withholds,
  }
}

/** The same backends, and the same credentials for them: then to try again would be to guess again. */
function isSame(before: FoundRoute | undefined, found: FoundRoute | undefined): boolean {
  if (before?.kind !== 'upstream' || found?.kind !== 'upstream') return before?.kind === found?.kind
  const [one, other] = [before.credentials, found.credentials]
  return (
    before.upstream === found.upstream &&
    before.server === found.server &&
    one?.username === other?.username &&
    one?.password?.reveal() === other?.password?.reveal() &&
    one?.token?.reveal() === other?.token?.reveal()
  )
}

/** The configuration may say by what users are signed in, whatever the looks have found. */
function usable(offers: readonly string[] | undefined, { config }: Upstream): readonly string[] | undefined {
  const { signInMechanisms } = config
  if (signInMechanisms === undefined) return offers
  const others = (offers ?? []).filter((name) => !name.startsWith('AUTH='))
  return [...others, ...signInMechanisms.map((name) => `AUTH=${name}`)]
}

const nobody: LoginRoute = {
  to: 'nowhere',
  decision: { verdict: 'refuse', reason: 'route', detail: 'no route leads to mail of this user' },
}

type Refusal = Extract<LoginRoute, { readonly to: 'nowhere' }>['decision']

function refusalOf(decision: Extract<FoundRoute, { readonly kind: 'refuse' }>['decision']): Refusal {
  if (decision.verdict === 'pass') throw new Error('a route refused by passing')
  return decision
}

function backendsOf(
  upstream: Upstream,
  { server, credentials }: Extract<FoundRoute, { readonly kind: 'upstream' }>,
  { username, connection }: LoginQuestion,
): LoginBackends {
  const { config, name } = upstream
  const { signInMechanisms } = config
  const attempts = upstream.attempts({ connection, username, ...(server === undefined ? {} : { server }) })
  const given = credentials === undefined ? masterOf(config) : ({ as: 'given', ...credentials } as const)
  return {
    upstream: name,
    tls: config.tls.mode,
    sendsCredentialsInClear: config.sendsCredentialsInClear,
    announcesById: announcesById(config),
    ...(given === undefined ? {} : { credentials: given }),
    ...(signInMechanisms === undefined ? {} : { mechanisms: signInMechanisms }),
    next: async (signal) => linkOf(await attempts.next(signal), config),
  }
}

function masterOf({ master }: UpstreamConfig): BackendCredentials | undefined {
  return master === undefined
    ? undefined
    : { as: 'master', username: master.username, password: secret(master.password) }
}

function announcesById({ announce, isAnnouncementOptional }: UpstreamConfig): LoginBackends['announcesById'] {
  if (announce !== 'imap-id') return 'no'
  return isAnnouncementOptional ? 'if-offered' : 'required'
}

function linkOf(connecting: UpstreamConnecting, config: UpstreamConfig): BackendConnecting {
  if (!connecting.ok) return connecting
  const { link } = connecting
  const { backend, socket, isSecure } = link
  const judgesClient = config.announce === 'proxy-v1' || config.announce === 'proxy-v2'
  const wrapped: BackendLink = {
    backend,
    socket,
    isSecure,
    tlsExporter: isSecure ? exporterOf(socket as TLSSocket).tlsExporter?.() : undefined,
    secure: async (signal) => linkOf(await link.secure(signal), config),
    // What is offered to a client that was announced may be meant for that one: what looks find holds for all.
    succeeded: (capabilities) => link.succeeded(config.health.isChecked ? undefined : capabilities),
    failed: (detail, how) => {
      // A backend that does not like the client whom we announced may close without a word, which says nothing of the backend.
      if (how === 'lost' && judgesClient) socket.destroy()
      else link.failed(detail)
    },
  }
  return { ok: true, link: wrapped }
}
