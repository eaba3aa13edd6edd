import {
  compileCidrSet,
  type Awaitable,
  type CidrSet,
  type ClientIdentity,
  type Decision,
  type ListenerInfo,
  type Policy,
} from '@postern/core'
import type { PolicyConfig } from '../config/schema.ts'
import { accessList } from './access-list.ts'
import { clientLimits } from './client-limits.ts'
import type { Tally, TallyLimits } from './tally.ts'

interface ConnectMoment {
  readonly identity: ClientIdentity
  readonly listener: ListenerInfo
}

/** What the chain said of a connection. */
export interface Admission {
  readonly decision: Decision
  /** The policy that decided against it. */
  readonly policy?: string
  /** Gives back what was counted, at the end of the connection or of its refusal. May be called again, for nothing. */
  release(): void
}

/** Asks policies in order; the first that does not pass decides. What earlier ones counted is given back exactly once. */
export async function askOnConnect(policies: readonly Policy[], at: ConnectMoment): Promise<Admission> {
  const passed: Policy[] = []
  const release = (): void => {
    for (const policy of passed.splice(0)) policy.onClose?.(at)
  }
  try {
    for (const policy of policies) {
      const asked: Awaitable<Decision> | undefined = policy.onConnect?.(at)
      const decision = asked instanceof Promise ? await asked : asked
      if (decision !== undefined && decision.verdict !== 'pass') return { decision, policy: policy.name, release }
      passed.push(policy)
    }
  } catch (error) {
    release()
    throw error
  }
  return { decision: { verdict: 'pass' }, release }
}

/** The policies that a configuration asks for, the cheap ones first. */
export function policiesFor(config: PolicyConfig, tally: Tally): readonly Policy[] {
  const policies: Policy[] = []
  if (config.deny.length > 0) policies.push(accessList(networks(config.deny), config.denyReply))
  const bounds = tallyLimits(config)
  if (bounds.rate !== undefined || bounds.concurrent !== undefined) {
    policies.push(clientLimits(bounds, networks(config.exemptNetworks), tally))
  }
  return policies
}

export function tallyLimits({ rate, concurrency }: PolicyConfig): TallyLimits {
  const { connectionsPerClient } = rate
  return {
    ...(connectionsPerClient === 'unlimited'
      ? {}
      : { rate: { connections: connectionsPerClient.count, perMs: connectionsPerClient.perMs } }),
    ...(concurrency.connectionsPerClient === 'unlimited' ? {} : { concurrent: concurrency.connectionsPerClient }),
  }
}

/** @throws on a network that the configuration's reader would have refused. */
export function networks(texts: readonly string[]): CidrSet {
  const compiled = compileCidrSet(texts)
  if (!compiled.ok) throw new Error(`not a network: ${compiled.problems.map((problem) => problem.text).join(', ')}`)
  return compiled.set
}
