import { endpoint, identify, type ClientIdentity } from '@postern/core'

/** A direct client at this address. */
export function clientAt(address: string): ClientIdentity {
  const local = endpoint(address.includes(':') ? '2001:db8::25' : '192.0.2.25', 25)
  return identify({ peer: endpoint(address, 40_000), local, verdict: { rule: 'absent' } })
}
