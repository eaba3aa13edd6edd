import { connect as connectSocket, type NetConnectOpts, type Socket } from 'node:net'
import { encodeProxyHeader, type Encoded, type EncodeOptions, type HeaderToSend } from '../proxy/encode.ts'

/** A socket that is connecting, with its header on the way; or why that header may not be sent. */
export type Connecting = { readonly ok: true; readonly socket: Socket } | Extract<Encoded, { readonly ok: false }>

/**
 * Opens a connection that begins with a PROXY header: one write of its own, before whatever is written to the socket
 * (S-01). For TLS behind it, pass the socket on to `tls.connect({ socket })`.
 *
 * The connection belongs to the client that the header names and must not be used for another (S-02).
 *
 * @param target - as for `net.connect`.
 * @returns the socket, connecting; or why the header may not be sent, and then no connection is opened.
 */
export function connect(
  target: NetConnectOpts,
  header: HeaderToSend,
  options: Omit<EncodeOptions, 'into' | 'at'> = {},
): Connecting {
  const encoded = encodeProxyHeader(header, options)
  if (!encoded.ok) return encoded
  const socket = connectSocket(target)
  socket.write(encoded.bytes)
  return { ok: true, socket }
}
