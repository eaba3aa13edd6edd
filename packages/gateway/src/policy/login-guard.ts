/*
 * Keeps out who guesses passwords, over all workers and both protocols: by client, so that one address cannot try many
 * users, and by user, so that many addresses cannot try one.
 */
import type {
  AuthOutcome,
  Authenticator,
  CidrSet,
  ConnectionInfo,
  Decision,
  Policy,
  SessionObserver,
} from '@postern/core'
import type { PolicyConfig, Rate } from '../config/schema.ts'
import type { FromReadyWorker } from '../supervisor/messages.ts'
import { Bans, type BanNews, type FailureOf } from './bans.ts'
import { clientKey, userKey } from './client-key.ts'
import type { Fleet } from './fleet.ts'
import { KnownClients, pairOf } from './known-clients.ts'

type LoginMessage = Extract<FromReadyWorker, { type: 'login-failed' | 'login-known' | 'login-ban' }>
type SignInEvent = Parameters<NonNullable<SessionObserver['authenticated']>>[0]

/** What the supervisor tells a worker of sign-ins. */
export interface LoginNews {
  readonly bans: readonly BanNews[]
  /** From where users signed in: see `pairOf`. */
  readonly known: readonly string[]
}

export class LoginGuard {
  readonly policy: Policy
  readonly #bans: Bans
  readonly #known = new KnownClients()
  readonly #exempt: CidrSet
  readonly #send: (message: LoginMessage) => void
  readonly #rates: Readonly<Record<FailureOf, Rate | 'unlimited'>>
  #fleet: Pick<Fleet, 'fail' | 'block' | 'blockedMs'> | undefined

  constructor(policy: Pick<PolicyConfig, 'rate' | 'ban'>, exempt: CidrSet, send: (message: LoginMessage) => void) {
    this.#rates = { client: policy.rate.failedLoginsPerClient, user: policy.rate.failedLoginsPerUser }
    this.#bans = new Bans(policy)
    this.#exempt = exempt
    this.#send = send
    this.policy = {
      name: 'ban',
      onConnect: ({ identity, listener }) =>
        // Mail of other hosts is no login: their users share an address with nobody who guesses.
        listener.protocol === 'smtp' || listener.protocol === 'lmtp'
          ? pass
          : this.#judgeClient(clientKey(identity.client.address), exempt.has(identity.client.address)),
      onAuthenticate: ({ connection, username }) => {
        const decision = this.#judge(connection, username)
        return decision.verdict === 'pass' && this.#fleet !== undefined
          ? this.#judgeByFleet(connection, username)
          : decision
      },
    }
  }

  /** Failures are counted with other machines as well, from now on. */
  useFleet(fleet: Pick<Fleet, 'fail' | 'block' | 'blockedMs'>): void {
    this.#fleet = fleet
  }

  learn({ bans, known }: LoginNews): void {
    this.#bans.learn(bans)
    for (const pair of known) this.#known.addPair(pair)
  }

  /** A sign-in ended. Only a wrong password counts: who could not be asked about, or gave up, has guessed nothing. */
  ended({ connection, username, outcome }: SignInEvent): void {
    const { address } = connection.identity.client
    if (this.#exempt.has(address)) return
    const [client, user] = [clientKey(address), userKey(username)]
    if (outcome === 'granted' && this.#known.add(client, user)) {
      this.#send({ type: 'login-known', pair: pairOf(client, user) })
    }
    if (outcome !== 'denied') return
    const isKnown = this.#known.has(client, user)
    this.#bans.failed('client', client)
    if (!isKnown) this.#bans.failed('user', user)
    void this.#failedInFleet('client', client)
    if (!isKnown) void this.#failedInFleet('user', user)
    this.#send({ type: 'login-failed', client, ...(isKnown ? {} : { user }) })
  }

  /** Why whoever tried to sign in is not told what came of it, now that it has; nothing where they may be. */
  withholds({ connection, username }: Pick<SignInEvent, 'connection' | 'username'>): string | undefined {
    const decision = this.#judge(connection, username)
    return decision.verdict === 'pass' ? undefined : decision.detail
  }

  /**
   * The authenticator, with a second look behind each check: of the guesses that were under way when the last one that was
   * allowed failed, none is told whether it was right.
   */
  guarded(authenticator: Authenticator): Authenticator {
    const look = async (
      username: string | undefined,
      connection: ConnectionInfo,
      check: Promise<AuthOutcome>,
    ): Promise<AuthOutcome> => {
      const outcome = await check
      if (username === undefined || outcome.outcome === 'unavailable') return outcome
      const withheld = this.withholds({ connection, username })
      return withheld === undefined ? outcome : { outcome: 'unavailable', cause: new Error(withheld) }
    }
    return {
      get verify(): Authenticator['verify'] {
        if (authenticator.verify === undefined) return undefined
        return (credentials, connection) =>
          look(credentials.username, connection, authenticator.verify?.(credentials, connection) ?? denied)
      },
      get verifyToken(): Authenticator['verifyToken'] {
        if (authenticator.verifyToken === undefined) return undefined
        return (claim, connection) =>
          look(claim.username, connection, authenticator.verifyToken?.(claim, connection) ?? denied)
      },
      get scramKeys(): Authenticator['scramKeys'] {
        return authenticator.scramKeys && ((claim, connection) => authenticator.scramKeys!(claim, connection))
      },
      get verifyCertificate(): Authenticator['verifyCertificate'] {
        return (
          authenticator.verifyCertificate &&
          ((claim, connection) => authenticator.verifyCertificate!(claim, connection))
        )
      },
      get tokenHints(): Authenticator['tokenHints'] {
        return authenticator.tokenHints
      },
    }
  }

  /** One question before each check of a password, and each step of SCRAM: whom another machine banned is banned here for as long. */
  async #judgeByFleet(connection: ConnectionInfo, username: string): Promise<Decision> {
    const { address } = connection.identity.client
    if (this.#exempt.has(address)) return pass
    const [client, user] = [clientKey(address), userKey(username)]
    const whom: (readonly [FailureOf, string])[] = [['client', client]]
    if (!this.#known.has(client, user)) whom.push(['user', user])
    await Promise.all(
      whom.map(async ([of, key]) => {
        const rate = this.#rates[of]
        const leftMs = rate === 'unlimited' ? 0 : await this.#fleet?.blockedMs(`failed-${of}`, rate, key)
        if (typeof leftMs !== 'number' || leftMs === 0 || this.#bans.leftMs(of, key) > 0) return
        this.#bans.learn([[of, key, leftMs]])
        this.#send({ type: 'login-ban', of, key, forMs: leftMs })
      }),
    )
    return this.#judge(connection, username)
  }

  /** The machine at which the fleet's last allowed failure happens pronounces the ban for all, with its own growing time. */
  async #failedInFleet(of: FailureOf, key: string): Promise<void> {
    const rate = this.#rates[of]
    const fleet = this.#fleet
    if (rate === 'unlimited' || fleet === undefined) return
    if ((await fleet.fail(`failed-${of}`, rate, key)) !== 'reached') return
    if (this.#bans.leftMs(of, key) === 0) {
      const [, , forMs] = this.#bans.ban(of, key)
      this.#send({ type: 'login-ban', of, key, forMs })
    }
    await fleet.block(`failed-${of}`, rate, key, this.#bans.leftMs(of, key))
  }

  #judge({ identity }: Pick<ConnectionInfo, 'identity'>, username: string): Decision {
    const { address } = identity.client
    if (this.#exempt.has(address)) return pass
    const [client, user] = [clientKey(address), userKey(username)]
    const decision = this.#judgeClient(client, false)
    if (decision.verdict !== 'pass') return decision
    const leftMs = this.#bans.leftMs('user', user)
    // AU-03: strangers must not be able to lock the owner out.
    if (leftMs === 0 || this.#known.has(client, user)) return pass
    return {
      verdict: 'defer',
      reason: 'banned',
      detail:
        `too many failed logins as ${username}: for ${seconds(leftMs)} s only clients from where this user signed in ` +
        'before may try (policy.rate.failed-logins-per-user)',
    }
  }

  #judgeClient(client: string, isExempt: boolean): Decision {
    const leftMs = isExempt ? 0 : this.#bans.leftMs('client', client)
    if (leftMs === 0) return pass
    return {
      verdict: 'defer',
      reason: 'banned',
      detail:
        `${client} failed to sign in too often, and is not let in for ${seconds(leftMs)} s ` +
        '(policy.rate.failed-logins-per-client): many users behind one address belong in policy.exempt-networks',
    }
  }
}

const pass: Decision = { verdict: 'pass' }
const denied: Promise<AuthOutcome> = Promise.resolve({ outcome: 'denied' })

function seconds(ms: number): number {
  return Math.ceil(ms / 1000)
}
