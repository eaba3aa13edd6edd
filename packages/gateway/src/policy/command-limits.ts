import type { CidrSet, Decision, Policy } from '@postern/core'
import { clientKey } from './client-key.ts'
import type { Tally, TallyLimits, TallyVerdict } from './tally.ts'

/**
 * Commands of one client, over all its connections. A session may have as many errors and idle commands as its own bounds let
 * it, and a client may have many sessions: this is what they cost together. Whoever leaves is let go.
 */
export function commandLimits({ rate }: TallyLimits, exempt: CidrSet, tally: Tally): Policy {
  const decide = (client: string, verdict: TallyVerdict): Decision =>
    verdict === 'pass'
      ? pass
      : {
          verdict: 'defer',
          reason: 'rate',
          detail:
            `${client} gave more than ${rate?.count} commands in ${(rate?.perMs ?? 0) / 1000} s ` +
            '(policy.rate.commands-per-client): raise it, or name the client in policy.exempt-networks',
          reply: { text: 'Too many commands from your address, try again later' },
        }
  return {
    name: 'command-limits',
    onCommand({ connection, verb }) {
      const { address } = connection.identity.client
      if (verb === 'QUIT' || verb === 'LOGOUT' || exempt.has(address)) return pass
      const client = clientKey(address)
      const verdict = tally.opened(client)
      return verdict instanceof Promise ? decideLater(client, verdict, decide) : decide(client, verdict)
    },
  }
}

async function decideLater(
  client: string,
  asked: Promise<TallyVerdict>,
  decide: (client: string, verdict: TallyVerdict) => Decision,
): Promise<Decision> {
  return decide(client, await asked)
}

const pass: Decision = { verdict: 'pass' }
