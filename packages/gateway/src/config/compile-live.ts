import { compileCidrSet, type CidrSet } from '@postern/core'
import { GatewayError } from '../errors.ts'
import type { LiveConfig } from './schema.ts'

/** A live configuration with its networks ready for lookup: made once in each worker that gets one. */
export interface CompiledLive {
  readonly live: LiveConfig
  /** By name of the listener. */
  readonly trustedNetworks: ReadonlyMap<string, CidrSet>
  readonly deny: CidrSet
  readonly ignoredHosts: CidrSet
  readonly exemptNetworks: CidrSet
}

export function compileLive(live: LiveConfig): CompiledLive {
  const { deny, ignoredHosts, exemptNetworks } = live.policy
  return {
    live,
    trustedNetworks: new Map(live.listeners.map(({ name, proxy }) => [name, compile(proxy.trustedNetworks)])),
    deny: compile(deny),
    ignoredHosts: compile(ignoredHosts),
    exemptNetworks: compile(exemptNetworks),
  }
}

/** The lists were checked when the file was read, so a bad one here is a bug. */
function compile(networks: readonly string[]): CidrSet {
  const compiled = compileCidrSet(networks)
  if (compiled.ok) return compiled.set
  throw new GatewayError('GATEWAY_CONFIG', `networks that were not checked: ${compiled.problems[0]?.text ?? ''}`)
}
