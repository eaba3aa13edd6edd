import { createSecureContext, TLSSocket, type SecureContext, type SecureContextOptions } from 'node:tls'
import type { Connection, ListenerInfo } from '../contracts/connection.ts'
import { limits } from '../limits.ts'
import { exporterOf } from '../socket/tls-exporter.ts'

/** How a server speaks TLS: certificate and key, and what else `tls.createSecureContext` takes. */
export interface ServerTlsOptions extends SecureContextOptions {
  /** `starttls`, the default: when the client asks. `implicit`: from the first byte behind the PROXY header. */
  readonly mode?: 'starttls' | 'implicit'
  /** Chooses by the name that the client asks for (SNI); the context of these options when it answers `undefined`. */
  readonly contextFor?: (serverName: string) => SecureContext | undefined
}

/** Ends TLS on a connection: takes its stream over at once, and resolves when the handshake is done. */
export type Secure = (spent: Connection) => Promise<Connection>

/** @throws when the certificate or the key cannot be used. */
export function tlsOf(options: ServerTlsOptions, protocol: ListenerInfo['protocol']): Secure {
  const byDefault = createSecureContext({ minVersion: 'TLSv1.2', ...options }) // RFC 8996
  const alpn = protocol === 'imap' ? 'imap' : 'smtp'
  return async (spent) => {
    const stream = new TLSSocket(spent.stream, {
      isServer: true,
      secureContext: byDefault,
      SNICallback: (name, answer) => answer(null, options.contextFor?.(name) ?? byDefault),
      // RFC 7301 section 3.2 and the ALPACA attack: a client that came for another protocol is refused, not served.
      ALPNCallback: ({ protocols }) => protocols.find((name) => name === alpn),
    })
    await untilSecure(stream)
    const { servername } = stream
    return {
      ...spent,
      stream,
      security: {
        kind: 'tls',
        endedBy: 'gateway',
        version: `${stream.getProtocol()}`,
        cipher: stream.getCipher().name,
        ...(typeof servername === 'string' && { serverName: servername }),
        ...exporterOf(stream),
      },
    }
  }
}

/** A handshake ends by `secure`, or by anything else. */
function untilSecure(stream: TLSSocket): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (error?: Error): void => {
      clearTimeout(deadline)
      stream.off('secure', onSecure).off('close', onClose).off('end', onClose)
      if (error === undefined) {
        stream.off('error', settle)
        resolve()
        return
      }
      stream.destroy()
      reject(error)
    }
    const onSecure = (): void => settle()
    const onClose = (): void => settle(new Error('the client left during the handshake'))
    const deadline = setTimeout(() => settle(new Error('the handshake took too long')), limits.handshakeTimeoutMs)
    stream.on('secure', onSecure).on('error', settle).on('close', onClose).on('end', onClose)
  })
}
