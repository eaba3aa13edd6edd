import type { PolicyConfig } from '../config/schema.ts'
import { limits } from '../limits.ts'
import type { ToWorker } from '../supervisor/messages.ts'
import { Bans, type BanNews, type FailureOf } from './bans.ts'
import { KnownClients } from './known-clients.ts'
import type { LoginNews } from './login-guard.ts'

/** The supervisor's count of failed sign-ins, and what every worker is told of it. */
export class MachineLogins {
  readonly #bans: Bans
  readonly #known = new KnownClients()
  readonly #tellAll: (message: ToWorker) => void
  readonly #onBan: (of: FailureOf, key: string, forMs: number) => void

  /** @param onBan - told of each ban that is pronounced. */
  constructor(
    policy: PolicyConfig,
    tellAll: (message: ToWorker) => void,
    onBan: (of: FailureOf, key: string, forMs: number) => void,
  ) {
    this.#bans = new Bans(policy)
    this.#tellAll = tellAll
    this.#onBan = onBan
  }

  rebound(policy: PolicyConfig): void {
    this.#bans.rebound(policy)
  }

  /** @param user - absent where the user is known to sign in from there. */
  failed(client: string, user: string | undefined): void {
    const news = [
      this.#bans.failed('client', client),
      ...(user === undefined ? [] : [this.#bans.failed('user', user)]),
    ].filter((ban) => ban !== undefined)
    if (news.length > 0) this.#pronounce(news)
  }

  /** A worker banned, or heard of a ban, by what the fleet counted; other workers may have said so already. */
  ban(of: FailureOf, key: string, forMs: number): void {
    if (this.#bans.leftMs(of, key) > 0) return
    this.#bans.learn([[of, key, forMs]])
    this.#pronounce([[of, key, forMs]])
  }

  /** Somebody signed in from somewhere for the first time. */
  known(pair: string): void {
    if (this.#known.addPair(pair)) this.#tellAll({ type: 'logins', bans: [], known: [pair] })
  }

  /** What a worker must know when it starts. */
  get news(): LoginNews {
    return { bans: this.#bans.inForce, known: this.#known.latest(limits.maxKnownClientsTold) }
  }

  #pronounce(news: readonly BanNews[]): void {
    for (const [of, key, forMs] of news) this.#onBan(of, key, forMs)
    this.#tellAll({ type: 'logins', bans: news, known: [] })
  }
}
