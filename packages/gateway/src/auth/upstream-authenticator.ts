import type { AuthOutcome, Authenticator, ConnectionInfo, Credentials, Principal, TokenClaim } from '@postern/core'
import { verifyAtBackend, type TransactionStart, type UpstreamCredentials } from '@postern/smtp'
import { relayOptionsFor } from '../destination/relay.ts'
import type { UpstreamLog } from '../observe/upstream-log.ts'
import type { RouteFinder } from '../route/route-finder.ts'
import type { Upstream } from '../upstream/upstream.ts'
import type { Upstreams } from '../upstream/upstreams.ts'

export interface UpstreamAuthenticatorOptions {
  readonly upstreams: Upstreams
  readonly finder: RouteFinder
  /** The listener that it is for. */
  readonly listener: string
  /** Said in EHLO. */
  readonly hostname: string
  readonly log: UpstreamLog
}

/**
 * Signs in who can sign in at the backend to which the routes lead for that user: the backend stays the authority, and no
 * password is known here. What was right is kept, in memory, as long as the session, since each transaction has a
 * connection of its own to the backend and signs in there as its user.
 */
export class UpstreamAuthenticator implements Authenticator {
  readonly #options: UpstreamAuthenticatorOptions
  readonly #signedIn = new WeakMap<Principal, { readonly place: string; readonly credentials: UpstreamCredentials }>()

  readonly #asked: readonly Upstream[]

  constructor(options: UpstreamAuthenticatorOptions) {
    const { upstreams, listener } = options
    this.#options = options
    this.#asked = [...upstreams.routes.askedAboutUsers(listener)].map((name) => upstreams.find(name))
  }

  /** Where every backend that may be asked takes tokens: a client that is offered them tries nothing else. */
  get verifyToken(): ((claim: TokenClaim, connection: ConnectionInfo) => Promise<AuthOutcome>) | undefined {
    const isTaken = this.#asked.length > 0 && this.#asked.every(takesTokens)
    return isTaken ? this.#verifyToken : undefined
  }

  async verify({ username, actAs, password }: Credentials, connection: ConnectionInfo): Promise<AuthOutcome> {
    // On whose behalf somebody may act, a backend cannot be asked in a way that all have.
    if (actAs !== undefined && actAs !== username) return { outcome: 'denied' }
    return this.#ask({ username, password }, connection)
  }

  /** Without a name nobody knows whom to ask. */
  readonly #verifyToken = async ({ username, token }: TokenClaim, connection: ConnectionInfo): Promise<AuthOutcome> =>
    username === undefined ? { outcome: 'denied' } : this.#ask({ username, token }, connection)

  /** @param refusedBy - where the same was asked before, by an answer that was old. */
  async #ask(credentials: UpstreamCredentials, connection: ConnectionInfo, refusedBy?: string): Promise<AuthOutcome> {
    const { username } = credentials
    try {
      const { upstreams, finder, hostname, log } = this.#options
      const target = await finder.forSubmission({ username, connection })
      // Where a directory cannot say, nobody was denied.
      if (target?.kind === 'refuse' && target.decision.verdict === 'defer') {
        return { outcome: 'unavailable', cause: new Error(target.decision.detail) }
      }
      if (target?.kind !== 'upstream' || placeOf(target) === refusedBy) return { outcome: 'denied' }
      const upstream = upstreams.find(target.upstream)
      const options = relayOptionsFor({ upstream, server: target.server, hostname, log, userOf: () => username })
      const verification = await verifyAtBackend(options, connection, credentials)
      if (verification.outcome === 'denied') {
        const mayHaveMoved = refusedBy === undefined && finder.forgetSubmission({ username, connection })
        return mayHaveMoved ? await this.#ask(credentials, connection, placeOf(target)) : verification
      }
      if (verification.outcome === 'unavailable') {
        const { code, detail } = verification.failure
        return { outcome: 'unavailable', cause: new Error(`upstream ${upstream.name}: ${code}: ${detail}`) }
      }
      const principal: Principal = { account: username, username }
      this.#signedIn.set(principal, { place: placeOf(target), credentials })
      return { outcome: 'granted', principal }
    } catch (cause) {
      return { outcome: 'unavailable', cause }
    }
  }

  /** What the user of a transaction signed in with: for the place that judged it, and told to no other. */
  credentialsFor(route: Place, { principal }: TransactionStart): UpstreamCredentials | undefined {
    const known = principal === undefined ? undefined : this.#signedIn.get(principal)
    return known?.place === placeOf(route) ? known.credentials : undefined
  }
}

/** The configuration says by what users are signed in, or the looks have found it. */
function takesTokens({ config, group }: Upstream): boolean {
  const { signInMechanisms } = config
  if (signInMechanisms !== undefined) return tokenMechanisms.some((name) => signInMechanisms.includes(name))
  return group.offersOfEach.every((offers) => {
    const offered = offers?.find((line) => line.startsWith('AUTH '))?.split(' ') ?? []
    return tokenMechanisms.some((name) => offered.includes(name))
  })
}

const tokenMechanisms = ['OAUTHBEARER', 'XOAUTH2'] as const

interface Place {
  readonly upstream: string
  readonly server?: string | undefined
}

function placeOf({ upstream, server = '' }: Place): string {
  return `${upstream} ${server}`
}
