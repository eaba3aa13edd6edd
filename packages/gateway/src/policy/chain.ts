import type { Awaitable, ClientIdentity, Decision, IpAddress, ListenerInfo, Policy, ReasonCode } from '@postern/core'
import type { DnsListConfig, PolicyConfig } from '../config/schema.ts'
import { AccessRules, accessList, accessRules } from './access-list.ts'
import { clientLimits } from './client-limits.ts'
import { counted, type PolicyDecisions, type PolicyStage } from './decisions.ts'
import { dnsLists, type OnListed, type UsedDnsList } from './dns-lists.ts'
import { helloChecks, type OnNote } from './hello-checks.ts'
import { networks } from './networks.ts'
import type { Tally, TallyLimits, TallySubject } from './tally.ts'
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
  readonly tallies: Readonly<Record<TallySubject, Tally>>
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
  const { tallies, decisions, ownNames, openDnsList, log } = parts
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
  const bounds = tallyLimits(config)
  if (bounds.rate !== undefined || bounds.concurrent !== undefined) {
    policies.push(clientLimits(bounds, networks(config.exemptNetworks), tallies.clients))
  }
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
  const ofUsers = userTallyLimits(config)
  if (ofUsers.concurrent !== undefined) {
    policies.push(userLimits(ofUsers, networks(config.exemptNetworks), tallies.users))
  }
  return policies.map((policy) => counted(policy, decisions))
}

/** What is counted of users. */
export function userTallyLimits({ concurrency: { sessionsPerUser } }: PolicyConfig): TallyLimits {
  return sessionsPerUser === 'unlimited' ? {} : { concurrent: sessionsPerUser }
}

/** What is counted of clients. */
export function tallyLimits({ rate, concurrency }: PolicyConfig): TallyLimits {
  const { connectionsPerClient } = rate
  return {
    ...(connectionsPerClient === 'unlimited'
      ? {}
      : { rate: { connections: connectionsPerClient.count, perMs: connectionsPerClient.perMs } }),
    ...(concurrency.connectionsPerClient === 'unlimited' ? {} : { concurrent: concurrency.connectionsPerClient }),
  }
}
