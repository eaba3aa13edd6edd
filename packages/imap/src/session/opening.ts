import { looksLikeProxyHeader } from '@postern/core'
import { describeError } from '../errors.ts'
import type { SessionState } from './state.ts'

/** Octets of `PROXY UNKNOWN`, the longest start that tells a header. */
const longestStart = 13

const binarySignature = '\r\n\r\n\0\r\nQUIT\n'

/**
 * Holds the first octets of a connection until they are the start of a PROXY header, or cannot become one. None of it is
 * believed; but when a balancer is missing from the configuration, it and its operator should hear of that, and not of
 * an unknown command.
 */
export class Opening {
  #held: Buffer | undefined = Buffer.alloc(0)

  /** @returns everything to go on with, or `undefined` while more is needed to tell. */
  take(bytes: Buffer): { readonly bytes: Buffer; readonly isProxyHeader: boolean } | undefined {
    if (this.#held === undefined) return { bytes, isProxyHeader: false }
    const first = this.#held.length === 0 ? bytes : Buffer.concat([this.#held, bytes])
    const isProxyHeader = looksLikeProxyHeader(first)
    if (!isProxyHeader && mayBecomeHeader(first)) {
      this.#held = Buffer.from(first)
      return undefined
    }
    this.#held = undefined
    return { bytes: first, isProxyHeader }
  }
}

function mayBecomeHeader(first: Buffer): boolean {
  if (first.length >= longestStart) return false
  const text = first.toString('latin1')
  return (
    binarySignature.startsWith(text) || 'PROXY '.startsWith(text) || (/^PROXY [TU]/.test(text) && !text.includes('\n'))
  )
}

/** After a header that was honoured, a second one in text is only a command that nobody knows. */
export function endsSession({ connection }: SessionState, header: Buffer): boolean {
  return connection.identity.origin === 'direct' || header[0] === binarySignature.charCodeAt(0)
}

/** Tells the operator of a header that ends the session, and how to mend it; gives back what the client is told. */
export function tellProxyHeader(state: SessionState): 'proxy-untrusted' | 'proxy-malformed' {
  const { identity, listener } = state.connection
  if (identity.origin !== 'direct') {
    state.refused('PROXY', 'proxy-again', describeError('IMAP_PROXY_AGAIN'))
    return 'proxy-malformed'
  }
  const peer = identity.peer.address.toString()
  const mend = `${peer} sent a PROXY header but is in no trusted network of listener ${listener.name}: add it to trusted-networks if it is your balancer`
  state.refused('PROXY', 'proxy-untrusted', mend)
  return 'proxy-untrusted'
}
