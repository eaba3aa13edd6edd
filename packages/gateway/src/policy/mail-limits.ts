import type { Awaitable, CidrSet, ConnectionInfo, Decision, Policy, Principal } from '@postern/core'
import type { PolicyConfig } from '../config/schema.ts'
import { clientKey, userKey } from './client-key.ts'
import { limitsOf, mailMeters, rateKeys, type MailMeter } from './meters.ts'
import type { Meters } from './shared-meters.ts'
import type { TallyVerdict } from './tally.ts'

interface Sender {
  readonly connection: ConnectionInfo
  readonly principal?: Principal | undefined
}

interface Count {
  readonly meter: MailMeter
  readonly key: string
}

/**
 * Messages and recipients, by client and by the user who signed in. A message counts when it begins (MAIL), a recipient
 * when it is offered (RCPT), whatever becomes of either: what is refused was work too, and guessing addresses is what a
 * rate is for.
 */
export function mailLimits(policy: PolicyConfig, tallies: Meters, exempt: CidrSet): Policy {
  const byMeter = new Map(mailMeters.map((meter) => [meter, tallies.tally(meter)]))
  /** The first meter that is over its rate decides; those behind it are not asked, as with policies. */
  const ask = (counts: readonly Count[], from = 0): Awaitable<Decision> => {
    for (let index = from; index < counts.length; index++) {
      const { meter, key } = counts[index]!
      const verdict = byMeter.get(meter)?.opened(key) ?? 'pass'
      if (verdict instanceof Promise) return settle(verdict, counts, index)
      if (verdict !== 'pass') return tooMany(meter, key, policy)
    }
    return pass
  }
  const settle = async (asked: Promise<TallyVerdict>, counts: readonly Count[], index: number): Promise<Decision> => {
    const { meter, key } = counts[index]!
    return (await asked) === 'pass' ? ask(counts, index + 1) : tooMany(meter, key, policy)
  }
  const askAbout = ({ connection, principal }: Sender, client: MailMeter, user: MailMeter): Awaitable<Decision> => {
    const { address } = connection.identity.client
    if (exempt.has(address)) return pass
    const counts: Count[] = [{ meter: client, key: clientKey(address) }]
    if (principal !== undefined) counts.push({ meter: user, key: userKey(principal.account) })
    return ask(counts)
  }
  return {
    name: 'mail-limits',
    onReversePath: (at) => askAbout(at, 'client-messages', 'user-messages'),
    onForwardPath: (at) => askAbout(at, 'client-recipients', 'user-recipients'),
  }
}

const pass: Decision = { verdict: 'pass' }

function tooMany(meter: MailMeter, who: string, policy: PolicyConfig): Decision {
  const { rate } = limitsOf(meter, policy)
  const what = meter.endsWith('messages') ? 'messages' : 'recipients'
  const whose = meter.startsWith('user') ? 'of your account' : 'from your address'
  return {
    verdict: 'defer',
    reason: 'rate',
    detail:
      `${who} sent more than ${rate?.count} ${what} in ${(rate?.perMs ?? 0) / 1000} s (${rateKeys[meter]}): ` +
      `raise it, or name the client in policy.exempt-networks`,
    reply: { text: `Too many ${what} ${whose}, try again later` },
  }
}
