import type { AcceptRefusal, Endpoint, HeaderOutcome, ListenerInfo } from '@postern/core'
import type { ProxyRefusalReason } from '../observe/connection-log.ts'

/** What came from a trusted peer instead of a header that can be taken. */
export type RefusedHeader = Exclude<HeaderOutcome, { readonly outcome: 'header' | 'none' | 'closed' }>

export interface HeaderRefusal {
  /** What the client is told. */
  readonly refusal: AcceptRefusal
  /** What the log is told, with the sentence that names the cause and the mend. */
  readonly reason: ProxyRefusalReason
  readonly mend: string
  readonly fields: Readonly<Record<string, string | number>>
}

/** Why a trusted peer's header was not taken. */
export function explainHeaderRefusal(
  received: RefusedHeader,
  at: { readonly peer: Endpoint; readonly listener: ListenerInfo; readonly headerTimeoutMs: number },
): HeaderRefusal {
  const peer = at.peer.address.toString()
  const who = `trusted peer ${peer}`
  if (received.outcome === 'timeout') {
    const { bytesSeen } = received
    const seconds = at.headerTimeoutMs / 1000
    const mend =
      bytesSeen === 0
        ? `${who} sent nothing for ${seconds} s: server-speaks-first and a balancer that holds the header back?`
        : `${who} sent ${bytesSeen} bytes in ${seconds} s and no whole PROXY header`
    return { refusal: 'proxy-timeout', reason: 'proxy-timeout', mend, fields: { bytes: bytesSeen } }
  }
  if (received.outcome === 'missing') {
    const mend =
      `${who} sent no PROXY header on listener ${at.listener.name}: switch its proxy protocol on (send-proxy), ` +
      `or take ${peer} out of trusted-networks`
    const { firstBytes } = received
    return { refusal: 'proxy-missing', reason: 'proxy-missing', mend, fields: { firstBytes } }
  }
  if (received.outcome === 'second-header') {
    const mend = `${who} sent two PROXY headers: it passes on one that its own client sent, and should drop it`
    return { refusal: 'proxy-malformed', reason: 'proxy-again', mend, fields: {} }
  }
  const { code, firstBytes } = received
  const mend = `${who} sent a PROXY header that is not valid, at byte ${received.at}`
  return { refusal: 'proxy-malformed', reason: 'proxy-malformed', mend, fields: { code, firstBytes } }
}
