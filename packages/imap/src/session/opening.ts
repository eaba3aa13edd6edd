import { looksLikeProxyHeader } from '@postern/core'

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
