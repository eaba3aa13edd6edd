/* Opens a connection to a backend for a protocol that does not do so itself: PROXY header first, then TLS where it is implicit. */
import { connect as connectSocket, isIP, type NetConnectOpts, type Socket } from 'node:net'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import { connect as connectWithHeader, limitTime, type HeaderToSend } from '@postern/core'
import type { BackendAddress } from '../config/backend-address.ts'
import type { UpstreamConfig } from '../config/schema.ts'
import { limits } from '../limits.ts'
import { tlsOptionsOf } from './tls-options.ts'

export type Dialled =
  | { readonly ok: true; readonly socket: Socket; readonly isSecure: boolean }
  /** What the system or OpenSSL said, for the operator. */
  | { readonly ok: false; readonly detail: string }

export interface DialOptions {
  readonly config: Pick<UpstreamConfig, 'tls' | 'maxHeaderBytes'>
  /** Goes first, in one write, in the clear. */
  readonly header: HeaderToSend | undefined
  /** For the whole, TLS included. */
  readonly timeoutMs: number
  readonly signal: AbortSignal
}

export async function dial(address: BackendAddress, options: DialOptions): Promise<Dialled> {
  const { config, header, timeoutMs, signal } = options
  if (signal.aborted) return { ok: false, detail: 'the client is gone' }
  const target: NetConnectOpts =
    'path' in address
      ? { path: address.path }
      : { ...address, noDelay: true, keepAlive: true, keepAliveInitialDelay: limits.keepAliveMs }
  const connecting =
    header === undefined
      ? ({ ok: true, socket: connectSocket(target) } as const)
      : connectWithHeader(target, header, { maxBytes: config.maxHeaderBytes })
  if (!connecting.ok) return { ok: false, detail: `${connecting.code}: ${connecting.detail}` }
  const { socket } = connecting
  const deadline = limitTime(signal, timeoutMs)
  try {
    const failure = await happens(socket, 'connect', deadline.signal)
    if (failure !== undefined) return { ok: false, detail: failure }
    if (config.tls.mode !== 'implicit') return { ok: true, socket, isSecure: false }
    return await secure(socket, address, config, deadline.signal)
  } finally {
    deadline.end()
  }
}

/**
 * TLS on a connection that stands, at its beginning or behind STARTTLS. The caller has read nothing that was sent in the
 * clear behind the last reply, and takes its listeners off the socket.
 */
export async function secure(
  socket: Socket,
  address: BackendAddress,
  { tls }: Pick<UpstreamConfig, 'tls'>,
  signal: AbortSignal,
): Promise<Dialled> {
  const host = 'path' in address ? 'localhost' : address.host
  let secured: TLSSocket
  try {
    secured = connectTls({
      host,
      ...(isIP(host) === 0 ? { servername: host } : {}),
      rejectUnauthorized: tls.mode !== 'optional' && tls.fingerprints === undefined,
      ...tlsOptionsOf(tls),
      socket,
    })
  } catch (error) {
    socket.destroy()
    return { ok: false, detail: describe(error) }
  }
  const failure = await happens(secured, 'secureConnect', signal)
  if (failure !== undefined) return { ok: false, detail: `TLS: ${failure}` }
  const print = (secured.getPeerX509Certificate()?.fingerprint256 ?? 'none').replaceAll(':', '').toLowerCase()
  if (tls.fingerprints !== undefined && !tls.fingerprints.includes(print)) {
    secured.destroy()
    return { ok: false, detail: `TLS: the certificate is none of those pinned, but ${print}` }
  }
  return { ok: true, socket: secured, isSecure: true }
}

/** Waits for an event of a socket. Answers what happened instead, and then the socket is destroyed. */
function happens(socket: Socket, event: 'connect' | 'secureConnect', signal: AbortSignal): Promise<string | undefined> {
  return new Promise((resolve) => {
    const settle = (failure: string | undefined): void => {
      signal.removeEventListener('abort', onAbort)
      socket.off('close', onClose)
      if (failure !== undefined) socket.destroy()
      resolve(failure)
    }
    const onAbort = (): void => settle(isTimeout(signal.reason) ? 'not in time' : 'the client is gone')
    const onClose = (): void => settle('closed')
    socket
      .once(event, () => settle(undefined))
      // For ever: a socket may be torn down long after nobody cares.
      .on('error', (error) => settle(describe(error)))
      .once('close', onClose)
    if (signal.aborted) onAbort()
    else signal.addEventListener('abort', onAbort, { once: true })
  })
}

function isTimeout(reason: unknown): boolean {
  return reason instanceof DOMException && reason.name === 'TimeoutError'
}

/** The code of the operating system or of OpenSSL says most. */
function describe(error: unknown): string {
  const { code, message } = error as { readonly code?: string; readonly message?: string }
  return code ?? message ?? 'an error without words'
}
