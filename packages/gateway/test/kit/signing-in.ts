import { endpoint, identify, type ConnectionInfo } from '@postern/core'

/** As much of a connection from `address` as an authenticator asks for. */
export function from(address: string = '192.0.2.1'): Pick<ConnectionInfo, 'identity'> {
  const peer = endpoint(address, 40_000)
  return { identity: identify({ peer, local: endpoint('198.51.100.2', 143), verdict: { rule: 'absent' } }) }
}
