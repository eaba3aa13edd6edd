/* A backend that knows the passwords judges who signs in here: it is told the credentials, and nothing else. */
import { performance } from 'node:perf_hooks'
import type { ConnectionInfo } from '@postern/core'
import { clientLimits } from '../limits.ts'
import type { TransactionStart } from '../session/destination.ts'
import { connect } from './connect.ts'
import type { UpstreamFailure } from './failures.ts'
import { open } from './opening.ts'
import { nameOf, type RelayOptions, type UpstreamCredentials } from './options.ts'
import { headerFor } from './relay.ts'

/** What came of asking. */
export type Verification =
  | { readonly outcome: 'granted' }
  /** The backend refused these credentials for good (RFC 4954 §6). */
  | { readonly outcome: 'denied' }
  /** No backend could say: try again later. */
  | { readonly outcome: 'unavailable'; readonly failure: UpstreamFailure }

/**
 * Signs in as a relay with these options would for a transaction of this connection, and quits. The next backend is asked
 * when one could not be reached or not be spoken with; what one has judged, no other is asked about.
 */
export async function verifyAtBackend(
  options: RelayOptions,
  connection: ConnectionInfo,
  credentials: UpstreamCredentials,
): Promise<Verification> {
  const start = transactionOf(connection)
  const { openingPatienceMs } = { ...clientLimits, ...options.limits }
  const startedAt = performance.now()
  let failure: UpstreamFailure | undefined
  for (const backend of options.backends(start, '')) {
    const leftMs = Math.floor(openingPatienceMs - (performance.now() - startedAt))
    if (leftMs <= 0) break
    const event = { transactionId: start.id, backend: nameOf(backend) }
    options.observer?.connecting?.(event)
    const connecting = await connect(backend, options, headerFor(options, start), leftMs, () =>
      options.observer?.gone?.(event),
    )
    const opening = connecting.ok ? await open(connecting.connection, { ...options, credentials }, start) : connecting
    if (opening.ok) {
      if (connecting.ok) {
        connecting.connection.opened()
        connecting.connection.quit()
      }
      options.observer?.opened?.({ ...event, capabilities: opening.capabilities })
      return { outcome: 'granted' }
    }
    failure = opening.failure
    const { code, detail, reply } = failure
    if (code === 'SMTP_UPSTREAM_AUTHENTICATION' && reply !== undefined) {
      const isJudged = reply.code >= 500 && !isAboutExchange.has(reply.code)
      return isJudged ? { outcome: 'denied' } : { outcome: 'unavailable', failure }
    }
    options.observer?.failed?.({ ...event, code, detail, step: 'opening' })
  }
  failure ??= { code: 'SMTP_UPSTREAM_UNREACHABLE', detail: options.whyNone?.() ?? 'there is none to try' }
  return { outcome: 'unavailable', failure }
}

/**
 * RFC 4954 §4 and §6, as 454 and its like: the syntax, the order, the mechanism or the channel is to blame, which is our
 * business. To deny the user for it would be to call a right password wrong.
 */
const isAboutExchange: ReadonlySet<number> = new Set([500, 501, 502, 503, 504, 530, 538])

/** A client that has not begun a transaction, as announcements see it. */
function transactionOf(connection: ConnectionInfo): TransactionStart {
  return {
    id: connection.id,
    envelope: { reversePath: '', forwardPaths: [], isSmtpUtf8: false, body: '7BIT' },
    connection,
    takesVerdictForEach: false,
    at: new Date(),
  }
}
