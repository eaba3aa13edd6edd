import type { CidrSet, Decision, Policy } from '@postern/core'
import { userKey } from './client-key.ts'
import { askedTwice } from './client-limits.ts'
import type { Tally, TallyLimits } from './tally.ts'

const pass: Decision = { verdict: 'pass' }

/**
 * IMAP sessions of one user at once, whatever address they come from: counted when the password was right, so that nobody
 * keeps another out. A session holds a mailbox in memory, and one program that opens them without end would hold all.
 */
export function userLimits({ concurrent }: TallyLimits, exempt: CidrSet, tally: Tally): Policy {
  return {
    name: 'user-limits',
    async onSession({ connection, principal: { account } }) {
      if (exempt.has(connection.identity.client.address)) return pass
      const key = userKey(account)
      const verdict = await askedTwice(key, await tally.opened(key), tally)
      if (verdict === 'pass') return pass
      const detail = `${account} has ${concurrent} IMAP sessions open (policy.concurrency.sessions-per-user)`
      return { verdict: 'defer', reason: 'concurrency', detail }
    },
    onSessionEnd({ connection, principal: { account } }) {
      if (!exempt.has(connection.identity.client.address)) tally.closed(userKey(account))
    },
  }
}
