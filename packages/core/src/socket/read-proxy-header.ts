import type { Socket } from 'node:net'
import type { Endpoint } from '../contracts/address.ts'
import type { ClientIdentity } from '../contracts/identity.ts'
import { proxyErrors, type ProxyRefusalCode } from '../errors.ts'
import { identify } from '../identity/identity.ts'
import type { TrustRule } from '../identity/trust.ts'
import { formatEndpoint } from '../ip/text.ts'
import { localOf, peerOf } from './endpoints.ts'
import { receiveHeader, type HeaderOutcome, type ReceiveHeaderOptions } from './receive-header.ts'

/** Whom to trust, and how long to wait; the defaults are in `limits`. */
export interface ReadProxyHeaderOptions extends Omit<ReceiveHeaderOptions, 'rule'> {
  /** Judges the peer before a byte is read. */
  readonly trust: TrustRule
}

/** Whom a connection speaks for, or why it may not be served. */
export type ProxyReading =
  | { readonly ok: true; readonly identity: ClientIdentity }
  | {
      readonly ok: false
      readonly code: ProxyRefusalCode
      /** Absent when the connection was gone before it could be asked. */
      readonly peer?: Endpoint
      /** A sentence for the operator's log, safe to print. Never for the peer. */
      readonly detail: string
    }

/**
 * Finds out for whom a fresh connection speaks: judges the peer by its address, reads exactly its header when one must or
 * may come, and makes the identity.
 *
 * Never rejects, writes nothing, and leaves the socket open and paused: on a refusal the caller destroys it.
 */
export async function readProxyHeader(socket: Socket, options: ReadProxyHeaderOptions): Promise<ProxyReading> {
  const peer = peerOf(socket)
  const local = localOf(socket)
  if (peer === undefined || local === undefined) {
    return { ok: false, code: 'PROXY_CLOSED', detail: 'the connection was gone before its peer could be asked for' }
  }
  const verdict = options.trust.verdictFor(peer)
  if (verdict.rule === 'refuse') return refusal('PROXY_UNTRUSTED', peer)
  if (verdict.rule === 'absent') return { ok: true, identity: identify({ peer, local, verdict }) }
  const result = await receiveHeader(socket, { ...options, rule: verdict.rule })
  if (result.outcome === 'none') return { ok: true, identity: identify({ peer, local, verdict }) }
  if (result.outcome === 'header')
    return { ok: true, identity: identify({ peer, local, verdict, header: result.header }) }
  return refusalOf(result, peer)
}

type Failure = Exclude<HeaderOutcome, { outcome: 'header' | 'none' }>

function refusalOf(failure: Failure, peer: Endpoint): ProxyReading {
  if (failure.outcome === 'bad') return refusal(failure.code, peer, `at byte ${failure.at} of: ${failure.firstBytes}`)
  if (failure.outcome === 'missing') return refusal('PROXY_MISSING', peer, `it sent: ${failure.firstBytes}`)
  if (failure.outcome === 'timeout') return refusal('PROXY_TIMEOUT', peer, `${failure.bytesSeen} bytes came`)
  if (failure.outcome === 'closed') return refusal('PROXY_CLOSED', peer, `${failure.bytesSeen} bytes came`)
  return refusal('PROXY_SECOND_HEADER', peer)
}

function refusal(code: ProxyRefusalCode, peer: Endpoint, fact: string = ''): ProxyReading {
  return { ok: false, code, peer, detail: `${formatEndpoint(peer)}: ${proxyErrors[code]}${fact && ` (${fact})`}` }
}
