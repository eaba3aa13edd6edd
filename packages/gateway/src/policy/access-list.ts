import type { CidrSet, Decision, IpAddress, Policy } from '@postern/core'
import type { AccessRuleConfig } from '../config/schema.ts'
import { networks } from './networks.ts'

/** Refuses clients of listed networks, for good: SMTP 554, or what the operator wants to be said. */
export function accessList(listed: CidrSet, reply?: { readonly code: number; readonly text: string }): Policy {
  return {
    name: 'deny',
    onConnect({ identity }) {
      const network = listed.find(identity.client.address)
      if (network === undefined) return pass
      return {
        verdict: reply !== undefined && reply.code < 500 ? 'defer' : 'refuse',
        reason: 'listed',
        detail: `${identity.client.address.toString()} is in ${network} of policy.deny`,
        ...(reply && { reply: { smtpCode: reply.code, text: reply.text } }),
      }
    },
  }
}

/** A rule that holds for a client. */
interface AccessMatch {
  readonly rule: AccessRuleConfig
  /** Its place among the rules, from 0. */
  readonly place: number
  /** The network that matched, as it is written. */
  readonly network: string
}

/** The access rules of an operator: the first that holds for a client on a listener decides. */
export class AccessRules {
  readonly #rules: readonly { readonly rule: AccessRuleConfig; readonly networks: CidrSet }[]

  constructor(rules: readonly AccessRuleConfig[]) {
    this.#rules = rules.map((rule) => ({ rule, networks: networks(rule.networks) }))
  }

  find(client: IpAddress, listener: string): AccessMatch | undefined {
    for (const [place, { rule, networks: set }] of this.#rules.entries()) {
      if (rule.listeners?.includes(listener) === false) continue
      const network = set.find(client)
      if (network !== undefined) return { rule, place, network }
    }
    return undefined
  }

  /** Vouched for by the operator, so that nobody else is asked about the client. */
  isAllowed(client: IpAddress, listener: string): boolean {
    return this.#rules.length > 0 && this.find(client, listener)?.rule.action === 'allow'
  }
}

/** Applies the access rules, and behind them the deny list: a client that is allowed is not looked up there. */
export function accessRules(rules: AccessRules, denied: Policy | undefined): Policy {
  return {
    name: 'access',
    onConnect(at) {
      const { client } = at.identity
      const match = rules.find(client.address, at.listener.name)
      if (match === undefined) return denied?.onConnect?.(at) ?? pass
      const { action, code, text } = match.rule
      if (action === 'allow') return pass
      return {
        verdict: action,
        reason: 'listed',
        detail: `${client.address.toString()} is in ${match.network} of policy.access[${match.place}], which says "${action}"`,
        ...((code !== undefined || text !== undefined) && {
          reply: { ...(code !== undefined && { smtpCode: code }), ...(text !== undefined && { text }) },
        }),
      }
    },
  }
}

const pass: Decision = { verdict: 'pass' }
