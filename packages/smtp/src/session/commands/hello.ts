import type { Awaitable } from '@postern/core'
import { addressLiteral, type Hello } from '../../wire/trace.ts'
import { refusalAnswer, type Answer } from '../answer.ts'
import { after } from '../awaitable.ts'
import type { Dialogue } from '../dialogue.ts'
import { offeredExtensions } from '../extensions.ts'
import { faultAnswer } from '../faults.ts'
import { firstRefusal } from '../policies.ts'

/**
 * RFC 5321 §4.1.1.1 asks for a domain or an address literal. Hosts also send names with underscores, bare addresses, and
 * literals with the zone of a link (`[IPv6:fe80::1%en0]`), and mail must not be refused for that (§4.1.4); so anything
 * goes that is safe in `Received`.
 */
const namesAnyHost = /^[\w.:%-]{1,255}$|^\[[\w.:%-]{1,253}\]$/

/** RFC 5321 §4.1.1.1. The reply has no enhanced code (RFC 2034 §3), and names the client that we believe to see. */
export function ehlo(dialogue: Dialogue, domain: string): Awaitable<Answer> {
  return hello(dialogue, 'EHLO', domain)
}

export function helo(dialogue: Dialogue, domain: string): Awaitable<Answer> {
  return hello(dialogue, 'HELO', domain)
}

/** RFC 2033 §4.1: LMTP's EHLO, so that neither is taken for the other. */
export function lhlo(dialogue: Dialogue, domain: string): Awaitable<Answer> {
  return hello(dialogue, 'LHLO', domain)
}

function hello(dialogue: Dialogue, verb: Hello['verb'], domain: string): Awaitable<Answer> {
  const { connection, options } = dialogue
  if (!namesAnyHost.test(domain)) return faultAnswer('SMTP_HELLO')
  const asked = firstRefusal(options.policies, (policy) => policy.onGreeting?.({ connection, domain }))
  return after(asked, (refusal): Awaitable<Answer> => {
    if (refusal !== undefined) return refusalAnswer(refusal, 'command', options.hostname)
    // RFC 5321 §4.1.4: EHLO ends an open transaction as RSET does.
    return after(dialogue.endTransaction(), () => {
      dialogue.hello = { verb, domain }
      dialogue.learnExtensions()
      const greeting = `${options.hostname} Hello ${domain} ${addressLiteral(connection.identity.client.address)}`
      return { reply: { code: 250, lines: verb === 'HELO' ? [greeting] : [greeting, ...offeredExtensions(dialogue)] } }
    })
  })
}
