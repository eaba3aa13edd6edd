import { limits } from '../limits.ts'
import type { Lookup, LookupAnswer, LookupQuestion } from './lookup.ts'

export interface CacheOptions {
  /** How long an answer holds; 0 for not at all. */
  readonly maxAgeMs: number
  /** Answers kept; over it, the one not used for longest goes. */
  readonly maxEntries: number
  readonly now?: () => number
}

interface Entry {
  readonly answer: LookupAnswer
  readonly since: number
  readonly until: number
  /** It has proved wrong: it stands only as long as the directory has no other. */
  readonly isDoubted?: true
}

/**
 * Remembers what a directory answered, by listener, user and recipient; and asks it once for several who want to know the
 * same at the same time. A failure is not remembered.
 */
export class CachedLookup implements Lookup {
  readonly #lookup: Lookup
  readonly #options: CacheOptions
  readonly #now: () => number
  /** In the order of their last use. */
  readonly #answers = new Map<string, Entry>()
  readonly #asking = new Map<string, Promise<LookupAnswer>>()

  constructor(lookup: Lookup, options: CacheOptions) {
    this.#lookup = lookup
    this.#options = options
    this.#now = options.now ?? (() => performance.now())
  }

  ask(question: LookupQuestion): Promise<LookupAnswer> {
    if (this.#options.maxAgeMs === 0) return this.#lookup.ask(question)
    const key = keyOf(question)
    const known = this.#answers.get(key)
    if (known !== undefined) {
      this.#answers.delete(key)
      if (known.until > this.#now()) {
        this.#answers.set(key, known)
        if (known.isDoubted !== true) return Promise.resolve(known.answer)
      }
    }
    const asked = this.#asking.get(key)
    if (asked !== undefined) return asked
    const asking = this.#lookup
      .ask(question)
      .then(
        (answer) => this.#keep(key, answer),
        (error: unknown) => this.#fallBack(key, error),
      )
      .finally(() => this.#asking.delete(key))
    this.#asking.set(key, asking)
    return asking
  }

  /**
   * What was answered just now stays: who guesses names, or passwords, must not ask the directory with each guess. Nor may
   * they take an answer away that nobody else can give: it goes when another one comes.
   */
  forget(question: LookupQuestion): boolean {
    const key = keyOf(question)
    const known = this.#answers.get(key)
    if (known === undefined || this.#now() - known.since < limits.freshAnswerMs) return false
    this.#answers.set(key, { ...known, isDoubted: true })
    return true
  }

  close(): Promise<void> {
    return this.#lookup.close()
  }

  #keep(key: string, answer: LookupAnswer): LookupAnswer {
    this.#answers.delete(key)
    // What is refused for now may be granted in a moment.
    if (answer.found === 'refusal' && answer.isTemporary) return answer
    if (this.#answers.size >= this.#options.maxEntries) {
      const [oldest] = this.#answers.keys()
      if (oldest !== undefined) this.#answers.delete(oldest)
    }
    const since = this.#now()
    this.#answers.set(key, { answer, since, until: since + this.#options.maxAgeMs })
    return answer
  }

  /** The directory is down, and what it said before is believed for the rest of its time. */
  #fallBack(key: string, error: unknown): LookupAnswer {
    const known = this.#answers.get(key)
    if (known === undefined || known.until <= this.#now()) throw error
    const { answer, until } = known
    this.#answers.set(key, { answer, since: this.#now(), until })
    return answer
  }
}

function keyOf({ kind, listener, username, recipient }: LookupQuestion): string {
  return JSON.stringify([kind, listener, username, recipient])
}
