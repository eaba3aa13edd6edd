import type {
  Awaitable,
  ClientIdentity,
  Decision,
  CidrSet,
  IpAddress,
  ListenerInfo,
  Policy,
  ReasonCode,
} from '@postern/core'
import type { DnsListConfig, PolicyConfig } from '../config/schema.ts'
import { AccessRules, accessList, accessRules } from './access-list.ts'
import { clientKey, networkKey } from './client-key.ts'
import { connectionLimits } from './client-limits.ts'
import { commandLimits } from './command-limits.ts'
import { counted, type PolicyDecisions, type PolicyStage } from './decisions.ts'
import { dnsLists, type OnListed, type UsedDnsList } from './dns-lists.ts'
import { helloChecks, type OnNote } from './hello-checks.ts'
import { mailLimits } from './mail-limits.ts'
import { limitsOf, mailMeters, rateKeys } from './meters.ts'
import { networks } from './networks.ts'
import type { Meters } from './shared-meters.ts'
import { userLimits } from './user-limits.ts'

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

/** What the policies of a configuration work with. */
export interface PolicyParts {
  readonly tallies: Meters
  /** Policies with a life of their own, asked ahead of whatever counts. */
  readonly guards: readonly Policy[]
  /** Counts what was decided. */
  readonly decisions: Pick<PolicyDecisions, 'count'>
  /** Names that are ours, in lower case: no other host greets with one. */
  readonly ownNames: ReadonlySet<string>
  /** Asks the DNS about lists. */
  readonly openDnsList: (config: DnsListConfig) => UsedDnsList['list']
  readonly log: PolicyNotes
}

/** Told of what is only noted. */
export interface PolicyNotes {
  /** @param note.connection - the id of a session; before it there is none. */
  noted(note: PolicyNote, detail: string): void
}

export interface PolicyNote {
  readonly policy: string
  readonly reason: ReasonCode
  readonly listener: string
  readonly client: string
  readonly connection?: string
}

/** The policies that a configuration asks for, the cheap ones first. */
export function policiesFor(config: PolicyConfig, parts: PolicyParts): readonly Policy[] {
  const { tallies, guards, decisions, ownNames, openDnsList, log } = parts
  const policies: Policy[] = []
  const note = (stage: PolicyStage, noted: PolicyNote, detail: string): void => {
    const { listener, policy, reason } = noted
    decisions.count({ listener, stage, policy, verdict: 'note', reason })
    log.noted(noted, detail)
  }
  const rules = new AccessRules(config.access)
  const isAllowed = (client: IpAddress, listener: string): boolean => rules.isAllowed(client, listener)
  const denied = config.deny.length > 0 ? accessList(networks(config.deny), config.denyReply) : undefined
  if (config.access.length > 0) policies.push(accessRules(rules, denied))
  else if (denied !== undefined) policies.push(denied)
  const exempt = networks(config.exemptNetworks)
  policies.push(...guards, ...limitPolicies(config, tallies, exempt))
  if (config.dnsLists.length > 0) {
    const lists = config.dnsLists.map((list) => ({ config: list, list: openDnsList(list) }))
    const onListed: OnListed = ({ listener, client }, detail) =>
      note(
        'connect',
        { policy: 'dns-list', reason: 'dns-list', listener: listener.name, client: client.toString() },
        detail,
      )
    policies.push(dnsLists(lists, isAllowed, onListed))
  }
  if (Object.values(config.hello).some((action) => action !== 'off')) {
    const onNote: OnNote = ({ connection, policy }, detail) =>
      note(
        'greeting',
        {
          policy,
          reason: 'hello',
          listener: connection.listener.name,
          client: connection.identity.client.address.toString(),
          connection: connection.id,
        },
        detail,
      )
    policies.push(helloChecks(config.hello, { names: ownNames, isAllowed }, onNote))
  }
  return policies.map((policy) => counted(policy, decisions))
}

/** What is counted: connections by client and by network, commands, messages, recipients, and sessions by user. */
function limitPolicies(config: PolicyConfig, tallies: Meters, exempt: CidrSet): Policy[] {
  const policies: Policy[] = []
  const client = tallies.tally('client-connections')
  if (client !== undefined) {
    const bounds = limitsOf('client-connections', config)
    const keys = { rate: rateKeys['client-connections'], concurrency: 'policy.concurrency.connections-per-client' }
    policies.push(connectionLimits({ name: 'client-limits', bounds, tally: client, keyOf: clientKey, keys }, exempt))
  }
  const network = tallies.tally('network-connections')
  if (network !== undefined) {
    const bounds = limitsOf('network-connections', config)
    const keys = { rate: rateKeys['network-connections'], concurrency: 'policy.concurrency.connections-per-network' }
    const keyOf = (address: IpAddress): string => networkKey(address, config.networkBits)
    policies.push(connectionLimits({ name: 'network-limits', bounds, tally: network, keyOf, keys }, exempt))
  }
  const commands = tallies.tally('client-commands')
  if (commands !== undefined) policies.push(commandLimits(limitsOf('client-commands', config), exempt, commands))
  const isMailLimited = mailMeters.some((meter) => tallies.tally(meter) !== undefined)
  if (isMailLimited) policies.push(mailLimits(config, tallies, exempt))
  const sessions = tallies.tally('user-sessions')
  if (sessions !== undefined) policies.push(userLimits(limitsOf('user-sessions', config), exempt, sessions))
  return policies
}
