/*
 * Reads exactly one PROXY header from a socket, before one absolute deadline. What follows the header is given back to
 * the socket, so that TLS or a session finds it byte for byte. Nothing is written: a server must not start its own
 * protocol before it knows whom it speaks to (PROXY protocol specification, section 2).
 */
import type { Duplex } from 'node:stream'
import type { ProxyErrorCode } from '../errors.ts'
import { limits } from '../limits.ts'
import { ProxyHeaderReader } from '../proxy/parse.ts'
import { looksLikeProxyHeader } from '../proxy/signature.ts'
import type { ProxyHeader } from '../proxy/header.ts'

/** What came first on a connection. */
export type HeaderOutcome =
  /** A view over received bytes that nothing overwrites; it keeps their whole chunk in memory, so identify and let go. */
  | { readonly outcome: 'header'; readonly header: ProxyHeader }
  /** With an optional header only: the peer sent something else, or nothing for a while. What it sent is still there. */
  | { readonly outcome: 'none' }
  /** A header that is invalid: the code, the offset of the byte at fault, and the first bytes, escaped for a log. */
  | { readonly outcome: 'bad'; readonly code: ProxyErrorCode; readonly at: number; readonly firstBytes: string }
  /** The first bytes cannot be a header. */
  | { readonly outcome: 'missing'; readonly firstBytes: string }
  /** The deadline passed when so many bytes had come. */
  | { readonly outcome: 'timeout'; readonly bytesSeen: number }
  /** The peer closed or reset the connection. `error` is what the socket said, for a reset. */
  | { readonly outcome: 'closed'; readonly bytesSeen: number; readonly error?: Error }
  /** Another header follows at once: a balancer that lets its client's own header through. */
  | { readonly outcome: 'second-header'; readonly header: ProxyHeader }

/** How long and how much a peer may send before its header is whole. The defaults are in `limits`. */
export interface ReceiveHeaderOptions {
  /** What the trust rule said of the peer. */
  readonly rule: 'required' | 'optional'
  /** From now to the last byte of the header, in milliseconds, however the bytes are spread. */
  readonly timeoutMs?: number
  /** With an optional header: how long the peer may stay silent, in milliseconds. */
  readonly graceMs?: number
  /** Bound for a whole header, in bytes. */
  readonly maxHeaderBytes?: number
  /** Look for a second header right behind the first. */
  readonly refusesSecondHeader?: boolean
  /** Told how long a header took to read, milliseconds, all its pieces together; the waiting between them is none of it. */
  readonly onParsed?: (ms: number) => void
}

/**
 * Reads exactly one header from a connection, and gives back what follows it.
 *
 * Never rejects. When it resolves, the socket is paused, has none of our listeners, and is not destroyed: what to do
 * with it is the caller's decision, who must listen for its `error` from then on. A peer that closed its half right
 * behind the header shows in `readableEnded`; its `end` may have been told already.
 */
export async function receiveHeader(socket: Duplex, options: ReceiveHeaderOptions): Promise<HeaderOutcome> {
  const outcome = await new Promise<HeaderOutcome>((resolve) => new Reception(socket, options, resolve))
  // The error listener stays until here: an error that was due in the same turn must not find none.
  socket.off('error', ignore)
  return outcome
}

class Reception {
  readonly #socket: Duplex
  readonly #options: ReceiveHeaderOptions
  readonly #resolve: (outcome: HeaderOutcome) => void
  readonly #reader = new ProxyHeaderReader()
  readonly #maxHeaderBytes: number
  readonly #deadline: NodeJS.Timeout
  readonly #grace: NodeJS.Timeout | undefined
  /** Ours once a second chunk came; grows by doubling, with what came and not with what was announced. */
  #received: Buffer = nothing
  #length = 0
  #atLeast = 0
  #parsedMs = 0
  #error: Error | undefined

  constructor(socket: Duplex, options: ReceiveHeaderOptions, resolve: (outcome: HeaderOutcome) => void) {
    this.#socket = socket
    this.#options = options
    this.#resolve = resolve
    this.#maxHeaderBytes = options.maxHeaderBytes ?? limits.maxHeaderBytes
    this.#deadline = setTimeout(
      () => this.#settle({ outcome: 'timeout', bytesSeen: this.#length }),
      options.timeoutMs ?? limits.headerTimeoutMs,
    )
    if (options.rule === 'optional') {
      this.#grace = setTimeout(() => {
        if (this.#length === 0) this.#settle({ outcome: 'none' })
      }, options.graceMs ?? limits.headerGraceMs)
    }
    socket.on('error', ignore)
    socket.on('error', this.#onError)
    socket.on('end', this.#onClose)
    socket.on('close', this.#onClose)
    if (socket.destroyed || socket.readableEnded) {
      this.#onClose()
      return
    }
    socket.on('data', this.#onData)
    socket.resume()
  }

  readonly #onError = (error: Error): void => {
    this.#error = error
    this.#onClose()
  }

  readonly #onClose = (): void => {
    const error = this.#error
    this.#settle({ outcome: 'closed', bytesSeen: this.#length, ...(error === undefined ? {} : { error }) })
  }

  readonly #onData = (chunk: Buffer): void => {
    this.#append(chunk)
    // A bad header is refused with its byte at fault (R-V1-11); a long one is not walked again for each of its pieces.
    if (this.#length < this.#atLeast && this.#atLeast > limits.maxV1HeaderBytes) return
    const bytes = this.#received.subarray(0, this.#length)
    const reader = this.#reader
    switch (this.#read(bytes)) {
      case 'more':
        this.#atLeast = reader.atLeast
        return
      case 'done': {
        this.#options.onParsed?.(this.#parsedMs)
        const rest = bytes.subarray(reader.length)
        const hasSecond = this.#options.refusesSecondHeader === true && looksLikeProxyHeader(rest)
        this.#settle({ outcome: hasSecond ? 'second-header' : 'header', header: reader }, rest)
        return
      }
      case 'bad': {
        const isNone = reader.code === 'PROXY_NO_SIGNATURE'
        if (isNone && this.#options.rule === 'optional') this.#settle({ outcome: 'none' }, bytes)
        else if (isNone) this.#settle({ outcome: 'missing', firstBytes: escapeBytes(bytes) }, bytes)
        else {
          const { code, at } = reader
          this.#settle({ outcome: 'bad', code, at, firstBytes: escapeBytes(bytes) }, bytes)
        }
      }
    }
  }

  #read(bytes: Buffer): ReturnType<ProxyHeaderReader['read']> {
    if (this.#options.onParsed === undefined) return this.#reader.read(bytes, this.#maxHeaderBytes)
    const began = performance.now()
    const status = this.#reader.read(bytes, this.#maxHeaderBytes)
    this.#parsedMs += performance.now() - began
    return status
  }

  #append(chunk: Buffer): void {
    if (this.#length === 0) {
      this.#received = chunk
    } else {
      const length = this.#length + chunk.length
      if (length > this.#received.length) {
        const grown = Buffer.allocUnsafe(Math.max(length, 2 * this.#received.length))
        this.#received.copy(grown, 0, 0, this.#length)
        this.#received = grown
      }
      chunk.copy(this.#received, this.#length)
    }
    this.#length += chunk.length
  }

  #settle(outcome: HeaderOutcome, rest: Buffer = nothing): void {
    const socket = this.#socket
    clearTimeout(this.#deadline)
    clearTimeout(this.#grace)
    socket.off('data', this.#onData)
    socket.off('end', this.#onClose)
    socket.off('close', this.#onClose)
    socket.off('error', this.#onError)
    socket.pause()
    if (rest.length > 0) socket.unshift(rest)
    this.#resolve(outcome)
  }
}

/** The first bytes as printable ASCII, anything else as `\xNN`: safe in any log. */
export function escapeBytes(bytes: Uint8Array): string {
  let text = ''
  for (const byte of bytes.subarray(0, limits.maxReportedBytes)) {
    const isPlain = byte >= 0x20 && byte < 0x7f && byte !== 0x5c
    text += isPlain ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, '0')}`
  }
  return text
}

const nothing = Buffer.alloc(0)
function ignore(): void {}
