/*
 * The client's side of SASL, for backends that want us to sign in. A machine like the server's: challenges in base64 in,
 * responses in base64 out. What a server says of itself is believed only where the mechanism proves it.
 */
import type { Secret } from '../contracts/auth.ts'
import type { ClientMechanism } from './client-mechanism.ts'
import type { SaslMechanism } from './mechanisms.ts'
import { ScramClient } from './scram-client.ts'
import { encodeName } from './scram-messages.ts'
import { decodeBase64, decodeUtf8, encodeBase64 } from './text.ts'

/** What we sign in with: a password, a token (RFC 6750), or either. */
export interface SaslClientCredentials {
  readonly username: string
  readonly password?: Secret
  readonly token?: Secret
  /** Whom to act for: another than the user. Said by PLAIN, the only one of these mechanisms of which servers take it. */
  readonly actAs?: string
}

/** What is sent next, in base64; or why the server is not talked to any more, for the operator. */
export type SaslAnswer =
  | { readonly ok: true; readonly response: string }
  | { readonly ok: false; readonly problem: string }

/** One exchange, from the client's side. */
export interface SaslClient {
  readonly mechanism: SaslMechanism
  /** What goes with the command, in base64; `undefined` where the server speaks first. */
  readonly initial: string | undefined
  /** Answers a challenge. Calls must not overlap. */
  answer(challenge: string): Promise<SaslAnswer>
  /** The server may say that we are signed in: nothing is missing, and where it had to prove itself it has. */
  readonly isComplete: boolean
}

interface Candidate {
  readonly mechanism: SaslMechanism
  readonly begin: () => ClientMechanism
}

/**
 * Begins an exchange by the strongest mechanism that is offered and for which there are credentials.
 *
 * @param offered - names, in capitals.
 * @param tlsExporter - the channel binding of RFC 9266, when TLS 1.3 runs from here to the server.
 * @returns `undefined` when there is none in common.
 */
export function chooseSasl(
  offered: readonly string[],
  credentials: SaslClientCredentials,
  tlsExporter?: Buffer,
): SaslClient | undefined {
  const chosen = candidates(credentials, tlsExporter).find(({ mechanism }) => offered.includes(mechanism))
  return chosen === undefined ? undefined : new Exchange(chosen.mechanism, chosen.begin())
}

/** The strongest first. */
function candidates(
  { username, password, token, actAs }: SaslClientCredentials,
  tlsExporter: Buffer | undefined,
): readonly Candidate[] {
  if (actAs !== undefined) {
    if (password === undefined) return []
    return [{ mechanism: 'PLAIN', begin: () => new PlainClient(`${actAs}\0${username}\0${password.reveal()}`) }]
  }
  const known: Candidate[] = []
  if (password !== undefined) {
    if (tlsExporter !== undefined) {
      known.push({
        mechanism: 'SCRAM-SHA-256-PLUS',
        begin: () => new ScramClient(username, password, { flag: 'p=tls-exporter', data: tlsExporter }),
      })
    }
    // RFC 5802 section 6: behind an offer of -PLUS that somebody has hidden from us, "y" tells the server so.
    const flag = tlsExporter === undefined ? 'n' : 'y'
    known.push({ mechanism: 'SCRAM-SHA-256', begin: () => new ScramClient(username, password, { flag }) })
  }
  if (token !== undefined) {
    const bearer = `auth=Bearer ${token.reveal()}\x01\x01`
    // RFC 7628 section 3.2.3: the client answers what is wrong with %x01; XOAUTH2 with an empty line.
    known.push(
      {
        mechanism: 'OAUTHBEARER',
        begin: () => new TokenClient(`n,a=${encodeName(username)},\x01${bearer}`, '\x01'),
      },
      { mechanism: 'XOAUTH2', begin: () => new TokenClient(`user=${username}\x01${bearer}`, '') },
    )
  }
  if (password !== undefined) {
    known.push(
      { mechanism: 'PLAIN', begin: () => new PlainClient(`\0${username}\0${password.reveal()}`) },
      { mechanism: 'LOGIN', begin: () => new LoginClient([username, password.reveal()]) },
    )
  }
  return known
}

class Exchange implements SaslClient {
  readonly mechanism: SaslMechanism
  readonly #client: ClientMechanism

  constructor(mechanism: SaslMechanism, client: ClientMechanism) {
    this.mechanism = mechanism
    this.#client = client
  }

  get initial(): string | undefined {
    const { initial } = this.#client
    return initial === undefined ? undefined : encodeBase64(initial)
  }

  get isComplete(): boolean {
    return this.#client.isComplete
  }

  async answer(challenge: string): Promise<SaslAnswer> {
    // The words of LOGIN are for nobody, and old servers do not encode them.
    const bytes = this.mechanism === 'LOGIN' ? Buffer.from(challenge) : decodeBase64(challenge)
    const answer = bytes === undefined ? { problem: 'a challenge that is no base64' } : await this.#client.answer(bytes)
    if (typeof answer !== 'string') return { ok: false, problem: `${this.mechanism}: ${answer.problem}` }
    return { ok: true, response: encodeBase64(answer) }
  }
}

/** RFC 4616: one message, and nothing that could be asked behind it. */
class PlainClient implements ClientMechanism {
  readonly initial: string
  readonly isComplete = true

  constructor(message: string) {
    this.initial = message
  }

  async answer(): Promise<{ readonly problem: string }> {
    return { problem: 'a challenge behind the only message' }
  }
}

/** Whatever the words of its challenges: name, then password. */
class LoginClient implements ClientMechanism {
  readonly initial = undefined
  readonly #answers: string[]

  constructor(answers: readonly string[]) {
    this.#answers = [...answers]
  }

  get isComplete(): boolean {
    return this.#answers.length === 0
  }

  async answer(): Promise<string | { readonly problem: string }> {
    return this.#answers.shift() ?? { problem: 'a third challenge' }
  }
}

/** RFC 7628: a challenge says what is wrong with the token, and is answered so that the server may end it. */
class TokenClient implements ClientMechanism {
  readonly initial: string
  readonly #acknowledgement: string
  isComplete = true

  constructor(message: string, acknowledgement: string) {
    this.initial = message
    this.#acknowledgement = acknowledgement
  }

  async answer(challenge: Buffer): Promise<string | { readonly problem: string }> {
    if (!this.isComplete) return { problem: 'a second challenge' }
    this.isComplete = false
    return decodeUtf8(challenge) === undefined ? { problem: 'a challenge that is no text' } : this.#acknowledgement
  }
}
