/* A backend behind the contracts of the session: a policy, an authenticator, and a destination that takes everything. */
import type { Authenticator, AuthOutcome, Awaitable, Decision, Policy, Router } from '@postern/core'
import { serverLimits } from '../limits.ts'
import { after, attempt } from '../session/awaitable.ts'
import type { Delivery, DeliveryReply, Destination, TransactionStart } from '../session/destination.ts'
import type { SmtpBackend, Verdict } from './backend.ts'
import { MessageStream } from './message-stream.ts'

/** Told what the program threw. */
export type OnFault = (error: unknown) => void

const pass: Decision = { verdict: 'pass' }

export function policyOf(backend: SmtpBackend, onFault: OnFault): Policy {
  return {
    name: 'backend',
    onReversePath: (at) =>
      attempt<Decision>(
        () => after(backend.reversePath?.(at), decisionFrom),
        (error) => {
          onFault(error)
          return { verdict: 'defer', reason: 'unavailable' }
        },
      ),
  }
}

/** A refusal in the words of the program. */
function decisionFrom(verdict: Verdict): Decision {
  if (verdict === undefined || verdict.code < 400) return pass
  const { code: smtpCode, enhanced, lines } = verdict
  return {
    verdict: smtpCode < 500 ? 'defer' : 'refuse',
    reason: smtpCode < 500 ? 'unavailable' : 'listed',
    reply: { smtpCode, text: lines.join(' '), ...(enhanced !== undefined && { enhanced }) },
  }
}

export function authenticatorOf(backend: SmtpBackend, onFault: OnFault): Authenticator | undefined {
  if (backend.authentication === undefined) return undefined
  return {
    async verify(credentials, connection): Promise<AuthOutcome> {
      try {
        const principal = await backend.authentication?.(credentials, connection)
        return principal === undefined ? { outcome: 'denied' } : { outcome: 'granted', principal }
      } catch (cause) {
        onFault(cause)
        return { outcome: 'unavailable', cause }
      }
    },
  }
}

/** All mail goes one way. */
export const router: Router = { forRecipient: ({ forwardPath }) => ({ to: 'store', account: forwardPath }) }

export function destinationOf(backend: SmtpBackend, onFault: OnFault): Destination {
  return { begin: (start) => new BackendDelivery(backend, start, onFault) }
}

class BackendDelivery implements Delivery {
  readonly #backend: SmtpBackend
  readonly #start: TransactionStart
  readonly #onFault: OnFault
  #message: MessageStream | undefined
  #verdict: Promise<Verdict> | undefined

  constructor(backend: SmtpBackend, start: TransactionStart, onFault: OnFault) {
    this.#backend = backend
    this.#start = start
    this.#onFault = onFault
  }

  addRecipient(forwardPath: string): Awaitable<DeliveryReply> {
    return this.#guard(() =>
      after(this.#backend.recipient?.(forwardPath, this.#start), (verdict) => verdict ?? recipientOk),
    )
  }

  write(chunk: Buffer): Awaitable<void> {
    return (this.#message ?? this.#begin()).give(chunk)
  }

  async commit(): Promise<DeliveryReply> {
    const message = this.#message ?? this.#begin()
    message.end()
    return this.#guard(async () => {
      const verdict = await this.#verdict
      return verdict ?? { code: 250, enhanced: '2.0.0', lines: [`OK, taken as ${this.#start.id}`] }
    })
  }

  /**
   * Waits until the program has given up, too: what it made of the message is then gone. Not for ever: one that listens
   * for the end alone never hears of it, and its connection would never be over.
   */
  async abort(): Promise<void> {
    this.#message?.destroy(new Error('the message was given up: its client is gone, or it was refused'))
    if (this.#verdict === undefined) return
    const { promise: late, resolve } = Promise.withResolvers<'late'>()
    const deadline = setTimeout(resolve, serverLimits.abandonPatienceMs, 'late')
    const what = await Promise.race([this.#verdict.catch(ignore), late])
    clearTimeout(deadline)
    if (what === 'late') this.#onFault(new Error('data() goes on, though its message has ended with an error'))
  }

  #begin(): MessageStream {
    const message = new MessageStream()
    this.#message = message
    this.#verdict = this.#ask(message)
    // It is looked at when the message has ended; a fault until then must not end the process.
    this.#verdict.catch(ignore)
    return message
  }

  async #ask(message: MessageStream): Promise<Verdict> {
    try {
      return await this.#backend.data(message, this.#start)
    } finally {
      message.destroy()
    }
  }

  #guard(call: () => Awaitable<DeliveryReply>): Awaitable<DeliveryReply> {
    return attempt(call, (error) => {
      this.#onFault(error)
      throw error
    })
  }
}

const recipientOk: DeliveryReply = { code: 250, enhanced: '2.1.5', lines: ['OK'] }

function ignore(): void {}
