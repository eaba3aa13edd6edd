import type { Awaitable, ClientIdentity, Decision, ListenerInfo, Policy } from '@postern/core'
import { firstRefusal, type Refusal } from './policies.ts'
import { after } from './awaitable.ts'

/** A client that a front end announced, as policies admitted it: what they counted is given back once. */
export class Admission {
  readonly #at: { readonly identity: ClientIdentity; readonly listener: ListenerInfo }
  readonly #passed: Policy[] = []

  constructor(identity: ClientIdentity, listener: ListenerInfo) {
    this.#at = { identity, listener }
  }

  /** Asks every policy as if the client had just connected. */
  ask(policies: readonly Policy[]): Awaitable<Refusal | undefined> {
    return firstRefusal(policies, (policy) =>
      after<Decision, Decision>(policy.onConnect?.(this.#at) ?? { verdict: 'pass' }, (decision) => {
        if (decision.verdict === 'pass') this.#passed.push(policy)
        return decision
      }),
    )
  }

  release(): void {
    for (const policy of this.#passed.splice(0)) policy.onClose?.(this.#at)
  }
}
