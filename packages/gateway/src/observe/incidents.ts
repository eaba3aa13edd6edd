/*
 * What an operator asks about first: who was refused just now and why, who sends PROXY headers and is not trusted, and
 * which trusted peers send none. Kept in few places of fixed size, whoever the clients are and however many.
 */
import { limits } from '../limits.ts'

/** A refusal, as the log tells it too. Every text is printable and cut. */
export interface Refusal {
  /** Milliseconds since 1970. */
  readonly at: number
  readonly id: string
  readonly listener: string
  /** `proxy.refused`, `policy.refused`, `auth.failed` or `backends.refused`, as in the log. */
  readonly event: string
  readonly reason: string
  /** Whom the connection speaks for; absent while nobody knows. */
  readonly client?: string
  /** Who sent the PROXY header, or should have. */
  readonly proxy?: string
  /** The cause and the mend, for people; names no user. */
  readonly mend?: string
}

/** An address that is to be looked at in the configuration, of it or of ours. */
export interface Peer {
  readonly kind: 'untrusted-sender' | 'silent-peer'
  readonly listener: string
  readonly peer: string
  readonly count: number
  /** Milliseconds since 1970. */
  readonly lastAt: number
  readonly mend: string
}

/** What came up since the last look. Plain data: it crosses between processes. */
export interface IncidentNews {
  readonly refusals: readonly Refusal[]
  readonly peers: readonly Peer[]
}

/** A worker's side: gathers for a second. */
export class Incidents {
  #refusals: Refusal[] = []
  #peers = new Map<string, Peer>()

  refused(refusal: Refusal): void {
    this.#refusals.push(refusal)
    thin(this.#refusals, limits.maxRefusalsGathered, (one) => one.reason)
  }

  peer(kind: Peer['kind'], listener: string, peer: string, mend: string): void {
    addPeer(this.#peers, { kind, listener, peer, count: 1, lastAt: Date.now(), mend })
  }

  /** Absent when nothing came up. */
  takeNews(): IncidentNews | undefined {
    if (this.#refusals.length === 0 && this.#peers.size === 0) return undefined
    const news = { refusals: this.#refusals, peers: [...this.#peers.values()] }
    this.#refusals = []
    this.#peers = new Map()
    return news
  }
}

/** The supervisor's side: the newest refusals of all workers, and the peers that came last. */
export class IncidentBoard {
  readonly #refusals: { readonly arrivedAt: number; readonly refusal: Refusal }[] = []
  readonly #peers = new Map<string, Peer>()

  add({ refusals, peers }: IncidentNews): void {
    const arrivedAt = Date.now()
    this.#refusals.push(...refusals.map((refusal) => ({ arrivedAt, refusal })))
    thin(this.#refusals, limits.maxRefusalsKept, ({ refusal }) => refusal.reason)
    for (const peer of peers) addPeer(this.#peers, peer)
  }

  /**
   * Newest first.
   *
   * @param since - milliseconds since 1970, by when they were heard of here: a worker tells of what was up to a second ago.
   */
  refusals(since = 0): readonly Refusal[] {
    return this.#refusals
      .filter(({ arrivedAt }) => arrivedAt >= since)
      .map(({ refusal }) => refusal)
      .toReversed()
  }

  /** Those that came last first. */
  peers(kind: Peer['kind']): readonly Peer[] {
    return [...this.#peers.values()].filter((peer) => peer.kind === kind).toReversed()
  }
}

/** Takes away of the reason that has most, its oldest first, until so many are left: a flood of one reason hides no other. */
function thin<T>(oldestFirst: T[], max: number, reasonOf: (one: T) => string): void {
  while (oldestFirst.length > max) {
    const counts = new Map<string, number>()
    for (const one of oldestFirst) counts.set(reasonOf(one), (counts.get(reasonOf(one)) ?? 0) + 1)
    const most = Math.max(...counts.values())
    oldestFirst.splice(
      oldestFirst.findIndex((one) => counts.get(reasonOf(one)) === most),
      1,
    )
  }
}

/** The map is in the order of the last coming: a new one takes the place of the one that was not seen for longest. */
function addPeer(peers: Map<string, Peer>, news: Peer): void {
  const key = `${news.kind} ${news.listener} ${news.peer}`
  const known = peers.get(key)
  peers.delete(key)
  if (known === undefined && peers.size >= limits.maxPeersKept) {
    const [oldest] = peers.keys()
    if (oldest !== undefined) peers.delete(oldest)
  }
  peers.set(key, { ...news, count: news.count + (known?.count ?? 0) })
}
