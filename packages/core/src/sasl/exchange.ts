/*
 * The server's side of a SASL exchange (RFC 4422), as SMTP (RFC 4954) and IMAP (RFC 3501 section 6.2.2, RFC 4959) carry it:
 * messages in base64, one on each line. It is a machine: lines in; challenges and in the end an outcome out. What the
 * outcome is called on the wire, and how often a client may fail, is the business of each protocol.
 */
import { limits } from '../limits.ts'
import { findMechanism, type SaslMechanism } from './mechanisms.ts'
import {
  malformedMessage,
  type Challenge,
  type LastWord,
  type MechanismStep,
  type SaslContext,
  type SaslEnd,
} from './steps.ts'
import { decodeBase64, encodeBase64 } from './text.ts'

/** What comes next: a challenge, in base64 and possibly empty, for the client; or the end. */
export type SaslStep =
  | { readonly next: 'challenge'; readonly challenge: string }
  | { readonly next: 'end'; readonly end: SaslEnd }

const notBase64: SaslEnd = Object.freeze({ outcome: 'malformed', username: '', fault: 'base64' })
const cancelled: SaslEnd = Object.freeze({ outcome: 'cancelled', username: '' })

/**
 * Begins an exchange.
 *
 * @param name - of the mechanism, in any case, as the client gave it.
 * @returns `undefined` when it is not offered in this context.
 */
export function beginSasl(name: string, context: SaslContext): SaslExchange | undefined {
  const mechanism = findMechanism(name, context)
  return mechanism === undefined ? undefined : new SaslExchange(mechanism.name, mechanism.begin(context))
}

/** One exchange, from its first message to its end. Calls must not overlap; after its end there are no more. */
export class SaslExchange {
  readonly mechanism: SaslMechanism
  #waiting: Challenge | LastWord

  constructor(mechanism: SaslMechanism, first: Challenge) {
    this.mechanism = mechanism
    this.#waiting = first
  }

  /**
   * The first step.
   *
   * @param initial - the initial response as it stands on the line, where `=` is an empty one (RFC 4954 section 4, RFC 4959
   *   section 3); `undefined` when there is none.
   */
  async start(initial: string | undefined): Promise<SaslStep> {
    return initial === undefined ? this.#ask(this.#waiting) : this.answer(initial === '*' ? 'not base64' : initial)
  }

  /**
   * The next step.
   *
   * @param line - what the client answered to the challenge, without its line end; `*` cancels.
   */
  async answer(line: string): Promise<SaslStep> {
    const waiting = this.#waiting
    if ('end' in waiting) return { next: 'end', end: waiting.end }
    if (line === '*') return { next: 'end', end: cancelled }
    // An empty line answers an empty message; some clients write "=" for that here too.
    const response = decodeBase64(line === '=' ? '' : line)
    if (response === undefined) return { next: 'end', end: notBase64 }
    if (response.length > limits.maxSaslMessageBytes) return { next: 'end', end: malformedMessage }
    const step: MechanismStep = await waiting.take(response)
    return 'challenge' in step ? this.#ask(step) : { next: 'end', end: step }
  }

  #ask(challenge: Challenge | LastWord): SaslStep {
    this.#waiting = challenge
    return { next: 'challenge', challenge: encodeBase64(challenge.challenge) }
  }
}
