/*
 * What hosts say of themselves in EHLO and HELO. RFC 5321 section 4.1.4 forbids to refuse mail because a name cannot be
 * verified; these checks are about names that are wrong by themselves, and each is off until an operator wants it.
 */
import { parseIpAddress, type ConnectionInfo, type Decision, type IpAddress, type Policy } from '@postern/core'
import type { HelloChecksConfig } from '../config/schema.ts'
import { isOfThisMachine } from './places.ts'

/** A check that a greeting did not pass. */
export interface HelloFault {
  readonly check: keyof HelloChecksConfig
  /** For the operator. */
  readonly detail: string
}

/** Told of what is only noted. */
export type OnNote = (
  note: { readonly connection: ConnectionInfo; readonly policy: string; readonly check: string },
  detail: string,
) => void

export function helloChecks(
  checks: HelloChecksConfig,
  own: { readonly names: ReadonlySet<string>; readonly isAllowed: (client: IpAddress, listener: string) => boolean },
  onNote: OnNote,
): Policy {
  return {
    name: 'hello',
    onGreeting({ connection, domain }): Decision {
      // Users' programs and front ends say anything, and sign in or are trusted for other reasons.
      if (connection.listener.protocol !== 'smtp') return pass
      if (own.isAllowed(connection.identity.client.address, connection.listener.name)) return pass
      for (const fault of helloFaults(domain, connection, own.names)) {
        const action = checks[fault.check]
        if (action === 'off') continue
        if (action !== 'note') return { verdict: action, reason: 'hello', detail: fault.detail }
        onNote({ connection, policy: 'hello', check: fault.check }, fault.detail)
      }
      return pass
    },
  }
}

const pass: Decision = { verdict: 'pass' }

/** RFC 5321 section 4.1.2: Domain, each label of letters, digits and hyphens, not all numeric at the top. */
const domainName =
  /^(?=.{1,255}$)(?:[a-z\d](?:[a-z\d-]{0,61}[a-z\d])?\.)*(?!\d+$)[a-z\d](?:[a-z\d-]{0,61}[a-z\d])?\.?$/i

/** @param ownNames - lower case: names that are ours, and nobody else's. */
export function* helloFaults(
  domain: string,
  { identity }: Pick<ConnectionInfo, 'identity'>,
  ownNames: ReadonlySet<string>,
): Generator<HelloFault> {
  const { client, destination } = identity
  const who = client.address.toString()
  // Our own programs may say our name: on this machine, or from the address that was dialled.
  const isOurs = isOfThisMachine.has(client.address) || client.address.equals(destination.address)
  const literal = literalIn(domain)
  if (literal !== undefined) {
    if (!isOurs && literal.equals(destination.address)) {
      yield { check: 'ownName', detail: `${who} greets with our address, ${domain} (policy.hello.own-name)` }
    } else if (!literal.equals(client.address)) {
      yield {
        check: 'addressLiteral',
        detail: `${who} greets with the address of another, ${domain} (policy.hello.address-literal)`,
      }
    }
    return
  }
  if (!domainName.test(domain)) {
    const detail = `${who} greets with "${domain}", neither a domain name nor an address literal (policy.hello.syntax)`
    yield { check: 'syntax', detail }
    return
  }
  const name = domain.replace(/\.$/, '').toLowerCase()
  if (!isOurs && ownNames.has(name)) {
    yield { check: 'ownName', detail: `${who} greets with our name, ${domain} (policy.hello.own-name)` }
  } else if (!name.includes('.')) {
    yield { check: 'unqualified', detail: `${who} greets with the bare name "${domain}" (policy.hello.unqualified)` }
  }
}

/** RFC 5321 section 4.1.3: `[192.0.2.1]`, `[IPv6:2001:db8::1]`. */
function literalIn(domain: string): IpAddress | undefined {
  const [, tag, text = ''] = /^\[(IPv6:)?([^\]]*)\]$/i.exec(domain) ?? []
  const address = parseIpAddress(text)
  return address !== undefined && text.includes(':') === (tag !== undefined) ? address : undefined
}
