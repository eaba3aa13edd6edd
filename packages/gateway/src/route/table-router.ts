import type { Decision, Route, Router } from '@postern/core'
import type { LocalRecipient } from './local-accounts.ts'
import { splitMailbox, type LocalMailbox } from './local-mailbox.ts'

export interface RoutingTable {
  /** Domains that are ours, lower case. */
  readonly localDomains: readonly string[]
  /** The account that a local mailbox belongs to; `undefined` when there is none. Rejects when nobody can tell. */
  readonly accountFor: (mailbox: LocalMailbox) => Promise<LocalRecipient | undefined>
}

/**
 * Routes without any [[route]] of the configuration: our domains lead into the store, and nothing leads out, for no client
 * address, greeting, sender or login is a right to relay. So a recipient that only looks local (`a%b@local`, a source
 * route, a second `@`) is looked up as the whole it is, and is unknown.
 */
export function tableRouter({ localDomains, accountFor }: RoutingTable): LocalRouter {
  const local = new Set(localDomains)
  // RFC 5321 section 4.5.1: `RCPT TO:<Postmaster>`, without a domain, is for us.
  const mailboxOf = (forwardPath: string): LocalMailbox =>
    forwardPath.toLowerCase() === 'postmaster'
      ? { localPart: 'postmaster', domain: localDomains[0] ?? '' }
      : splitMailbox(forwardPath)
  const intoStore = async (forwardPath: string): Promise<Route> => {
    try {
      const found = await accountFor(mailboxOf(forwardPath))
      if (found === undefined) return nowhere(unknown)
      const { account, folder } = found
      return folder === undefined ? { to: 'store', account } : { to: 'store', account, mailbox: folder }
    } catch (error) {
      // Not to know who has an account is no reason to say that somebody has none: mail would bounce.
      return nowhere({ verdict: 'defer', reason: 'unavailable', detail: (error as Error).message })
    }
  }
  return {
    async forRecipient({ forwardPath, principal }): Promise<Route> {
      const isLocal = local.has(mailboxOf(forwardPath).domain)
      return isLocal ? intoStore(forwardPath) : nowhere(principal === undefined ? notOurs : noRelay)
    },
    intoStore,
  }
}

/** What takes the mail that no route of the configuration is about. */
export interface LocalRouter extends Router {
  /** The account of a recipient, whatever its domain. */
  intoStore(forwardPath: string): Promise<Route>
}

const unknown: Decision = { verdict: 'refuse', reason: 'unknown-recipient', detail: 'no account has this name' }

const notOurs: Decision = {
  verdict: 'refuse',
  reason: 'no-relay',
  detail: 'the domain is none of smtp.local-domains',
}

const noRelay: Decision = {
  verdict: 'refuse',
  reason: 'no-relay',
  detail: 'the domain is none of smtp.local-domains, and no route leads to an upstream that would take it',
  reply: { text: 'No relay is configured: this server delivers to its own domains only' },
}

function nowhere(decision: Decision): Route {
  return { to: 'nowhere', decision }
}
