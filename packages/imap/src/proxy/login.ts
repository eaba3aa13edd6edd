/*
 * The login of a session whose users may have their mail at backends. It stands in the place of the authenticator: what
 * the client gives by LOGIN or AUTHENTICATE is taken as ever, and where the backend is the judge it is signed in at before
 * the exchange ends, so that the client hears the verdict in the words of its mechanism.
 */
import type {
  AuthOutcome,
  Authenticator,
  CertificateClaim,
  ConnectionInfo,
  Credentials,
  Principal,
  ScramClaim,
  ScramOutcome,
  TokenClaim,
  TokenHints,
} from '@postern/core'
import { proxyLimits, type ImapProxyLimits } from '../limits.ts'
import { onOneLine } from '../session/refusal.ts'
import { no, type Completion } from '../wire/response.ts'
import { givesProof, type ImapLogins, type LoginBackends, type LoginRoute } from './backends.ts'
import { readClientId, type ClientId } from './client-id.ts'
import { faults } from './faults.ts'
import { signInAtBackend, type ClientCredentials, type FailedLogin, type OpenedBackend } from './sign-in.ts'

/** What a login works with. */
export interface LoginSurroundings {
  readonly authenticator: Authenticator
  readonly logins: ImapLogins
  readonly connection: () => ConnectionInfo
  /** Aborted when the client is gone. */
  readonly signal: () => AbortSignal
  readonly limits?: Partial<ImapProxyLimits> | undefined
}

/** Somebody is signed in at a backend. */
export interface EnteredBackend extends OpenedBackend {
  readonly upstream: string
}

export class BackendLogin implements Authenticator {
  /** How the last attempt failed, where it did so at a backend or on the way there. */
  failure: FailedLogin | undefined
  readonly #surroundings: LoginSurroundings
  readonly #limits: ImapProxyLimits
  #clientId: ClientId
  /** What the client gave in the attempt under way. */
  #given: ClientCredentials | undefined
  #entered: EnteredBackend | undefined

  constructor(surroundings: LoginSurroundings) {
    this.#surroundings = surroundings
    this.#limits = { ...proxyLimits, ...surroundings.limits }
    this.#clientId = readClientId([], this.#limits.maxProxies)
  }

  // ── what is offered ───────────────────────────────────────────────────────

  get verify(): ((credentials: Credentials, connection: ConnectionInfo) => Promise<AuthOutcome>) | undefined {
    return this.#isJudgedThere || this.#authenticator.verify !== undefined ? this.#verify : undefined
  }

  get verifyToken(): ((claim: TokenClaim, connection: ConnectionInfo) => Promise<AuthOutcome>) | undefined {
    const isTaken = this.#isJudgedThere
      ? this.#surroundings.logins.offers().every((offered) => offered !== undefined && takesTokens(offered))
      : this.#authenticator.verifyToken !== undefined && !this.#surroundings.logins.needsPassword
    return isTaken ? this.#verifyToken : undefined
  }

  get tokenHints(): TokenHints | undefined {
    return this.#isJudgedThere ? undefined : this.#authenticator.tokenHints
  }

  /** Without the password there is nothing to sign in with at a backend, unless there is a master or a directory that helps. */
  get scramKeys(): ((claim: ScramClaim, connection: ConnectionInfo) => Promise<ScramOutcome>) | undefined {
    const { scramKeys } = this.#authenticator
    return this.#needsWhatClientGave || scramKeys === undefined ? undefined : this.#scramKeys
  }

  get verifyCertificate(): ((claim: CertificateClaim, connection: ConnectionInfo) => Promise<AuthOutcome>) | undefined {
    const { verifyCertificate } = this.#authenticator
    return this.#needsWhatClientGave || verifyCertificate === undefined ? undefined : this.#verifyCertificate
  }

  /** What the backends have in common, as far as the client may be told before it signs in; nothing is known of some. */
  offers(name: string): boolean {
    return this.#surroundings.logins.offers().every((offered) => offered?.includes(name) === true)
  }

  /** The client said who it is. A later word replaces an earlier one. */
  identify(pairs: Parameters<typeof readClientId>[0]): void {
    this.#clientId = readClientId(pairs, this.#limits.maxProxies)
  }

  // ── the attempt ───────────────────────────────────────────────────────────

  /** A new attempt begins. */
  begin(): void {
    this.failure = undefined
    this.#given = undefined
    this.abandon()
  }

  /** Nobody needs what was opened. */
  abandon(): void {
    this.#entered?.stream.destroy()
    this.#entered = undefined
  }

  /**
   * Behind a sign-in that was granted: the backend of the user.
   *
   * @returns `store` when the mail is here.
   */
  async enter(principal: Principal): Promise<EnteredBackend | FailedLogin | 'store'> {
    const entered = this.#entered
    if (entered !== undefined) {
      this.#entered = undefined
      return entered
    }
    const given = this.#given
    // A session may last for days, and its password is needed no more.
    this.#given = undefined
    // Whom the authenticator judged where the backend is the judge has their mail in the store.
    if (this.#isJudgedThere) return 'store'
    const { username, account } = principal
    const credentials = given ?? { username }
    const route = await this.#routeOf(username)
    const answer = await this.#enterBy(route, credentials, account)
    const other = await this.#reconsider(username, route, answer)
    return other === undefined ? answer : this.#enterBy(other, credentials, account)
  }

  get #authenticator(): Authenticator {
    return this.#surroundings.authenticator
  }

  get #isJudgedThere(): boolean {
    return this.#surroundings.logins.judge === 'backend'
  }

  get #needsWhatClientGave(): boolean {
    return this.#isJudgedThere || this.#surroundings.logins.needsPassword
  }

  readonly #verify = async (credentials: Credentials, connection: ConnectionInfo): Promise<AuthOutcome> => {
    this.begin()
    const { username, password, actAs } = credentials
    const verifyHere = async (): Promise<AuthOutcome> =>
      (await this.#authenticator.verify?.(credentials, connection)) ?? { outcome: 'denied' }
    if (this.#isJudgedThere) {
      // On whose behalf somebody may act, a backend cannot be asked in a way that all have.
      return actAs === undefined ? this.#judgeThere({ username, password }, verifyHere) : { outcome: 'denied' }
    }
    const outcome = await verifyHere()
    if (outcome.outcome === 'granted') this.#given = { username, password }
    return outcome
  }

  readonly #verifyToken = async (claim: TokenClaim, connection: ConnectionInfo): Promise<AuthOutcome> => {
    this.begin()
    const { username, token } = claim
    const verifyHere = async (): Promise<AuthOutcome> =>
      (await this.#authenticator.verifyToken?.(claim, connection)) ?? { outcome: 'denied' }
    if (this.#isJudgedThere) {
      // Without a name nobody knows whom to ask.
      return username === undefined ? { outcome: 'denied' } : this.#judgeThere({ username, token }, verifyHere)
    }
    const outcome = await verifyHere()
    if (outcome.outcome === 'granted') this.#given = { username: outcome.principal.username, token }
    return outcome
  }

  readonly #scramKeys = (claim: ScramClaim, connection: ConnectionInfo): Promise<ScramOutcome> => {
    this.begin()
    return this.#authenticator.scramKeys?.(claim, connection) ?? Promise.resolve({ outcome: 'unknown' })
  }

  readonly #verifyCertificate = (claim: CertificateClaim, connection: ConnectionInfo): Promise<AuthOutcome> => {
    this.begin()
    return this.#authenticator.verifyCertificate?.(claim, connection) ?? Promise.resolve({ outcome: 'denied' })
  }

  /** @param other - the place that is asked when the first one has refused; no third one is. */
  async #judgeThere(
    given: ClientCredentials,
    verifyHere: () => Promise<AuthOutcome>,
    other?: LoginRoute,
  ): Promise<AuthOutcome> {
    const { username } = given
    const route = other ?? (await this.#routeOf(username))
    if (route.to === 'store') return verifyHere()
    if (route.to === 'nowhere') return this.#fail(notRouted(route))
    const { backends } = route
    if (backends.credentials !== undefined && givesProof(backends.credentials)) {
      const detail = `upstream ${backends.upstream}: signing in with other credentials than the client's would judge nobody`
      const { completion } = faults.misconfigured
      return this.#fail({ ok: false, fault: 'misconfigured', completion, detail })
    }
    const entered = await this.#enter(backends, given, username)
    const next = other === undefined ? await this.#reconsider(username, route, entered) : undefined
    if (next !== undefined) return this.#judgeThere(given, verifyHere, next)
    const { logins, connection } = this.#surroundings
    const withheld = logins.withholds?.({ username, connection: connection() })
    if (withheld !== undefined) {
      if (entered.ok) entered.stream.destroy()
      return { outcome: 'unavailable', cause: new Error(withheld) }
    }
    if (!entered.ok) return this.#fail(entered)
    this.#entered = entered
    return { outcome: 'granted', principal: { account: username, username } }
  }

  #fail(failure: FailedLogin): AuthOutcome {
    this.failure = failure
    return faults[failure.fault].counts
      ? { outcome: 'denied' }
      : { outcome: 'unavailable', cause: new Error(failure.detail) }
  }

  #routeOf(username: string): Promise<LoginRoute> | LoginRoute {
    return this.#surroundings.logins.routeOf({ username, connection: this.#surroundings.connection() })
  }

  /** A backend that refused may be the one where the user was before: the route is asked for anew, once. */
  async #reconsider(
    username: string,
    route: LoginRoute,
    entered: EnteredBackend | FailedLogin | 'store',
  ): Promise<LoginRoute | undefined> {
    if (entered === 'store' || entered.ok || entered.isVerdict !== true) return undefined
    const { logins, connection } = this.#surroundings
    return logins.reconsider?.({ username, connection: connection() }, route)
  }

  async #enterBy(
    route: LoginRoute,
    credentials: ClientCredentials,
    account: string,
  ): Promise<EnteredBackend | FailedLogin | 'store'> {
    if (route.to === 'store') return 'store'
    if (route.to === 'nowhere') return notRouted(route)
    return this.#enter(route.backends, credentials, account)
  }

  async #enter(
    backends: LoginBackends,
    credentials: ClientCredentials,
    account: string,
  ): Promise<EnteredBackend | FailedLogin> {
    const { connection, signal } = this.#surroundings
    const opened = await signInAtBackend({
      backends,
      credentials,
      account,
      connection: connection(),
      clientId: this.#clientId,
      limits: this.#limits,
      signal: signal(),
    })
    const { upstream } = backends
    if (!opened.ok) return { ...opened, detail: `upstream ${upstream}: ${opened.detail}` }
    return { ...opened, upstream }
  }
}

function notRouted({ decision }: Extract<LoginRoute, { readonly to: 'nowhere' }>): FailedLogin {
  const fault = decision.verdict === 'defer' ? 'route-unknown' : 'no-route'
  return {
    ok: false,
    fault,
    completion: inWordsOf(decision.reply?.text, faults[fault].completion),
    detail: decision.detail ?? 'no route leads to mail of this user',
  }
}

/** Words of the operator's directory take the place of ours. */
function inWordsOf(text: string | undefined, { text: ours, code }: Completion): Completion {
  const shown = text === undefined ? '' : onOneLine(text)
  return no(shown === '' ? ours : shown, code)
}

function takesTokens(offered: readonly string[]): boolean {
  return offered.includes('AUTH=OAUTHBEARER') || offered.includes('AUTH=XOAUTH2')
}
