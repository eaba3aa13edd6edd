import type { Socket } from 'node:net'
import type { Endpoint } from '../contracts/address.ts'
import { parseIpAddress } from '../ip/text.ts'

/** Who holds the connection; `undefined` when the peer is gone already (RST before accept was seen) or has no IP address. */
export function peerOf(socket: Socket): Endpoint | undefined {
  return endpointOf(socket.remoteAddress, socket.remotePort)
}

/** Our own end; `undefined` when the socket is gone or has no IP address. */
export function localOf(socket: Socket): Endpoint | undefined {
  return endpointOf(socket.localAddress, socket.localPort)
}

/** Node appends a zone to link-local addresses (`fe80::1%eth0`); the address is what stands before it. */
function endpointOf(text: string | undefined, port: number | undefined): Endpoint | undefined {
  const address = text === undefined ? undefined : parseIpAddress(text.replace(/%.*$/, ''))
  return address === undefined || port === undefined ? undefined : Object.freeze({ address, port })
}
