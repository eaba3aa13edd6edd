import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { BindAddress } from '../config/schema.ts'
import { refuseWhenTaken } from './held-sockets.ts'

/** Where an HTTP server of the supervisor itself listens. */
export interface HttpAddress {
  /** What the system bound, with the port of its choice when 0 was asked for. */
  readonly host: string
  readonly port: number
  /** Ends the server, and connections that are open. */
  readonly close: () => void
}

/**
 * Rejects when the address cannot be bound.
 *
 * @param isOurs - this gateway serves it already, here or in the process before, which is about to close it.
 */
export async function listenAt(server: Server, bind: BindAddress, isOurs: boolean): Promise<HttpAddress> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  // Stays for good: when the system later runs out of descriptors, an error that nobody hears would end the supervisor.
  server.on('error', reject)
  // Shared for the moment in which one takes over from the other; with anybody else it would be half of the questions.
  if (!isOurs && bind.port !== 0) refuseWhenTaken(bind)
  server.listen({ host: bind.host, port: bind.port, reusePort: hasReusePort }, resolve)
  await promise
  const { address, port } = server.address() as AddressInfo
  return {
    host: address,
    port,
    close: () => {
      server.close()
      server.closeAllConnections()
    },
  }
}

/** As libuv has it. */
const hasReusePort = ['linux', 'freebsd', 'sunos', 'aix'].includes(process.platform)
