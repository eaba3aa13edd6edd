import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { BindAddress } from '../config/schema.ts'
import { limits } from '../limits.ts'
import type { Health } from './health.ts'

export interface AdminEndpoint {
  readonly host: string
  readonly port: number
  close(): void
}

/** `GET /healthz`: 200 when a balancer may send connections, 503 with the reasons when not. It changes nothing and tells no secret. */
export async function openAdmin(bind: BindAddress, health: () => Promise<Health>): Promise<AdminEndpoint> {
  const server = createServer(
    {
      requestTimeout: limits.adminRequestMs,
      headersTimeout: limits.adminRequestMs,
      keepAliveTimeout: limits.adminRequestMs,
    },
    (request, response) => void answer(request, response, health),
  )
  server.maxConnections = limits.maxAdminConnections
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  // Stays for good: when the system later runs out of descriptors, an error that nobody hears would end the supervisor.
  server.on('error', reject)
  server.listen({ host: bind.host, port: bind.port }, resolve)
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

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  health: () => Promise<Health>,
): Promise<void> {
  request.resume()
  if (request.url !== '/healthz') {
    reply(response, 404, { error: 'not found' })
  } else if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.setHeader('allow', 'GET, HEAD')
    reply(response, 405, { error: 'method not allowed' })
  } else {
    const state = await health()
    reply(response, state.status === 'ok' ? 200 : 503, state)
  }
}

function reply(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store' })
  response.end(`${JSON.stringify(body)}\n`)
}
