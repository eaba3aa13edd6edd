import type { RelayObserver, TransactionStart } from '@postern/smtp'
import type { Counts } from './counts.ts'
import type { Logger } from './logger.ts'
import { printable } from './text.ts'
import { limits } from '../limits.ts'

/** What is told of backends: by the supervisor, which looks at them, and by workers, which meet them. */
export class UpstreamLog {
  readonly #logger: Logger
  readonly #counts: Counts | undefined
  readonly #lookupFailures = new Map<string, { readonly toldAt: number; suppressed: number }>()

  /** @param counts - a worker's. */
  constructor(logger: Logger, counts?: Counts) {
    this.#logger = logger
    this.#counts = counts
  }

  // ── the supervisor ────────────────────────────────────────────────────────

  upstreamUp(upstream: string, backend: string): void {
    this.#logger.info({ event: 'upstream.up', upstream, backend }, 'the backend is back')
  }

  upstreamDown(upstream: string, backend: string, reason: string): void {
    const fields = { event: 'upstream.down', upstream, backend, reason: printable(reason) }
    this.#logger.warn(fields, 'no mail and no login goes to this backend until it answers again')
  }

  // ── workers ───────────────────────────────────────────────────────────────

  /** @param forMs - 0: no longer. */
  avoided(upstream: string, backend: string, forMs: number, detail: string): void {
    if (forMs === 0) {
      this.#logger.info({ event: 'upstream.tried', upstream, backend }, 'this worker uses the backend again')
      return
    }
    const fields = { event: 'upstream.avoided', upstream, backend, ms: forMs, reason: printable(detail) }
    this.#logger.warn(fields, 'this worker tries other backends first, since this one failed again and again')
  }

  /** Every recipient and every login meets it, so it is told once in a while, with the number of those in between. */
  lookupFailed(lookup: string, detail: string): void {
    const last = this.#lookupFailures.get(lookup)
    const now = performance.now()
    if (last !== undefined && now - last.toldAt < limits.lookupNewsMs) {
      last.suppressed++
      return
    }
    this.#lookupFailures.set(lookup, { toldAt: now, suppressed: 0 })
    const suppressed = last === undefined || last.suppressed === 0 ? {} : { suppressed: last.suppressed }
    const fields = { event: 'lookup.failed', lookup, reason: printable(detail), ...suppressed }
    this.#logger.warn(fields, 'the directory gave no answer that can be used')
  }

  relayFailed(upstream: string, event: Parameters<NonNullable<RelayObserver['failed']>>[0]): void {
    const { transactionId: transaction, backend, code, detail } = event
    const fields = { event: 'relay.failed', transaction, upstream, backend, reason: code }
    this.#logger.warn(fields, printable(detail, limits.maxLogSentenceChars))
  }

  inDoubt(upstream: string, backend: string, { id, envelope }: TransactionStart, sha256: string, bytes: number): void {
    if (this.#counts !== undefined) this.#counts.count('postern_in_doubt_total', upstream).value++
    const fields = { event: 'relay.in-doubt', transaction: id, upstream, backend, sha256, bytes }
    this.#logger.error(
      { ...fields, reversePath: printable(envelope.reversePath), recipients: envelope.forwardPaths.length },
      'the backend may have this message, and its client was told to send it again',
    )
  }
}
