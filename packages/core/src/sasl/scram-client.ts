/* SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, RFC 7677), the client's side. */
import type { Secret } from '../contracts/auth.ts'
import { limits } from '../limits.ts'
import type { ClientMechanism } from './client-mechanism.ts'
import { prepareScramPassword } from './prepare.ts'
import { equals, proveByScram, saltPassword } from './scram-keys.ts'
import { encodeName, parseServerFinal, parseServerFirst } from './scram-messages.ts'
import { newNonce } from './scram.ts'
import { encodeBase64 } from './text.ts'

/** Whether we bind ourselves to the channel (RFC 5802 section 7), and to which. */
export interface ScramBinding {
  readonly flag: 'n' | 'y' | 'p=tls-exporter'
  readonly data?: Buffer
}

type Problem = { readonly problem: string }

export class ScramClient implements ClientMechanism {
  readonly initial: string
  readonly #header: string
  readonly #bare: string
  readonly #nonce: string
  readonly #binding: Buffer
  readonly #password: Secret
  /** What the server must sign to show that it knows the password too. */
  #expected: Buffer | undefined
  #isComplete = false
  #step: 'first' | 'final' | 'over' = 'first'

  constructor(username: string, password: Secret, { flag, data }: ScramBinding, nonce: string = newNonce()) {
    this.#header = `${flag},,`
    this.#nonce = nonce
    this.#bare = `n=${encodeName(username)},r=${nonce}`
    this.#binding = Buffer.concat([Buffer.from(this.#header), data ?? Buffer.alloc(0)])
    this.#password = password
    this.initial = this.#header + this.#bare
  }

  get isComplete(): boolean {
    return this.#isComplete
  }

  async answer(challenge: Buffer): Promise<string | Problem> {
    const step = this.#step
    this.#step = step === 'first' ? 'final' : 'over'
    if (step === 'first') return this.#prove(challenge)
    return step === 'final' ? this.#check(challenge) : { problem: 'a challenge too many' }
  }

  async #prove(challenge: Buffer): Promise<string | Problem> {
    const first = parseServerFirst(challenge)
    if (first === undefined) return { problem: 'a first message that is none' }
    const { nonce, salt, iterations } = first
    if (!nonce.startsWith(this.#nonce) || nonce === this.#nonce) return { problem: 'a nonce that is not based on ours' }
    if (iterations < limits.minScramIterations || iterations > limits.maxScramIterations) {
      return { problem: `${iterations} iterations are asked for` }
    }
    const prepared = prepareScramPassword(this.#password.reveal())
    if (prepared === undefined) return { problem: 'our password cannot be used with it' }
    const salted = await saltPassword(prepared, salt, iterations)
    const withoutProof = `c=${encodeBase64(this.#binding)},r=${nonce}`
    const { proof, serverSignature } = proveByScram(salted, `${this.#bare},${challenge.toString()},${withoutProof}`)
    this.#expected = serverSignature
    return `${withoutProof},p=${encodeBase64(proof)}`
  }

  #check(challenge: Buffer): string | Problem {
    const final = parseServerFinal(challenge)
    if (final === undefined || this.#expected === undefined) return { problem: 'a last message that is none' }
    // RFC 5802 section 5.1: the server says so in its last message, and then fails the exchange, if we let it.
    if ('error' in final) return ''
    if (!equals(final.signature, this.#expected)) return { problem: 'the server does not know the password' }
    this.#isComplete = true
    return ''
  }
}
