import { limits } from '../limits.ts'
import type { Logger } from './logger.ts'

/** Peers and listeners told apart in one summary; the rest are added up. Only trusted peers get here, so few are enough. */
const maxRows = 256

/**
 * What happens often and matters little one by one: health checks, trusted peers that come and go without a word, and
 * connections turned away for want of room. Each kind is told in one line a minute; the first overload at once.
 */
export class QuietSummary {
  readonly #logger: Logger
  readonly #rows = new Map<string, { readonly fields: Readonly<Record<string, string>>; count: number }>()
  readonly #timer: NodeJS.Timeout

  constructor(logger: Logger) {
    this.#logger = logger
    this.#timer = setInterval(() => this.tell(), limits.quietSummaryMs)
    this.#timer.unref()
  }

  healthCheck(listener: string, proxy: string): void {
    this.#count({ event: 'health.checks', listener, proxy })
  }

  silentPeer(listener: string, proxy: string): void {
    this.#count({ event: 'health.silent-peers', listener, proxy })
  }

  overloaded(listener: string, reason: string, what = 'closed without a word'): void {
    if (this.#count({ event: 'connection.overload', listener, reason }) > 1) return
    this.#logger.warn({ event: 'connection.overload', listener, reason, count: 1 }, what)
  }

  /** Writes the lines that are due. */
  tell(): void {
    for (const { fields, count } of this.#rows.values()) {
      this.#logger.info({ ...fields, count, seconds: limits.quietSummaryMs / 1000 })
    }
    this.#rows.clear()
  }

  close(): void {
    clearInterval(this.#timer)
    this.tell()
  }

  #count(fields: Readonly<Record<string, string>>): number {
    const known = this.#rows.get(Object.values(fields).join(' '))
    const row = known ?? this.#newRow(fields)
    return ++row.count
  }

  #newRow(fields: Readonly<Record<string, string>>): { count: number } {
    const isFull = this.#rows.size >= maxRows
    const kept = isFull ? { event: fields['event'] ?? '', listener: 'others' } : fields
    const key = Object.values(kept).join(' ')
    const row = this.#rows.get(key) ?? { fields: kept, count: 0 }
    this.#rows.set(key, row)
    return row
  }
}
