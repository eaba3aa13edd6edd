/*
 * Signs a user in at a backend, as the backend's client:
 *
 *   greeting · STARTTLS · CAPABILITY · ID and the sign-in, in one write · CAPABILITY
 *
 * where STARTTLS and CAPABILITY are left out when they are not needed. Up to the credentials the next backend is tried when one
 * fails; from there on never: what one backend has judged, no other is asked about, and a login that may have happened is
 * not made again.
 */
import type { Duplex } from 'node:stream'
import {
  chooseSasl,
  limitTime,
  type ConnectionInfo,
  type SaslClient,
  type SaslClientCredentials,
  type SaslMechanism,
  type Secret,
} from '@postern/core'
import type { ImapProxyLimits } from '../limits.ts'
import { encodeString, type Completion } from '../wire/response.ts'
import { DialogueError } from './backend-dialogue.ts'
import { givesProof, type BackendLink, type LoginBackends } from './backends.ts'
import { idPairs, type ClientId } from './client-id.ts'
import { faults, readRefusal, type LoginFault } from './faults.ts'
import { BackendConversation, Unusable, type Tagged } from './opening.ts'

/** What the client gave. A client that proved itself in another way gave neither. */
export interface ClientCredentials {
  readonly username: string
  readonly password?: Secret
  readonly token?: Secret
}

/** A login at a backend. */
export interface LoginRequest {
  readonly backends: LoginBackends
  readonly credentials: ClientCredentials
  /** Whose mail it is; whom a master acts for. */
  readonly account: string
  readonly connection: ConnectionInfo
  /** What the client said of itself. */
  readonly clientId: ClientId
  readonly limits: ImapProxyLimits
  /** The client's. */
  readonly signal: AbortSignal
}

/** A backend that has signed the client in. */
export interface OpenedBackend {
  readonly ok: true
  readonly backend: string
  readonly stream: Duplex
  /** What it said behind the end of the sign-in. */
  readonly unread: Buffer
  /** Untagged responses of the sign-in that are for the client, with their line ends. */
  readonly untagged: string
  /** In the order in which it gave them. */
  readonly capabilities: readonly string[]
}

/** Why nobody is signed in. */
export interface FailedLogin {
  readonly ok: false
  readonly fault: LoginFault
  /** What the client is told. */
  readonly completion: Completion
  /** For the operator. */
  readonly detail: string
  /** A backend was asked, and says that this user does not come in: in the wrong place it would say the same. */
  readonly isVerdict?: boolean
}

/** Never rejects. A connection that is not given back is closed. */
export async function signInAtBackend(request: LoginRequest): Promise<OpenedBackend | FailedLogin> {
  const { backends, limits, clientId, connection, signal } = request
  if (clientId.proxiesLeft <= 0) {
    return failure('loop', `connection ${connection.id} has come through ${limits.maxProxies} proxies`)
  }
  const limit = limitTime(signal, limits.signInPatienceMs)
  try {
    let detail = ''
    while (!limit.signal.aborted) {
      const connecting = await backends.next(limit.signal)
      if (!connecting.ok) return failure('unreachable', detail === '' ? connecting.detail : detail)
      const attempt = new Attempt(request, connecting.link, limit.signal)
      const result = await attempt.run()
      if (result !== 'next') return result
      detail = attempt.detail
    }
    return failure('unreachable', detail === '' ? 'not in time' : detail)
  } finally {
    limit.end()
  }
}

function failure(fault: LoginFault, detail: string, completion = faults[fault].completion): FailedLogin {
  return { ok: false, fault, completion, detail }
}

class Attempt {
  /** Why it came to nothing, with the backend's name. */
  detail = ''
  readonly #request: LoginRequest
  readonly #signal: AbortSignal
  readonly #conversation: BackendConversation
  #haveCredentialsGone = false

  constructor(request: LoginRequest, link: BackendLink, signal: AbortSignal) {
    this.#request = request
    this.#signal = signal
    this.#conversation = new BackendConversation(link, request.limits)
  }

  async run(): Promise<OpenedBackend | FailedLogin | 'next'> {
    const { backends, limits } = this.#request
    const conversation = this.#conversation
    try {
      const opening = limitTime(this.#signal, limits.openingPatienceMs)
      await conversation.open(backends.tls, opening.signal).finally(opening.end)
      conversation.link.succeeded(conversation.capabilities ?? [])
      if (!conversation.link.isSecure && !backends.sendsCredentialsInClear) {
        throw new Unusable('misconfigured', 'credentials are not sent in the clear')
      }
      const said = await this.#signIn()
      if (said.status !== 'OK') return this.#refused(said)
      conversation.readCode(said.text)
      const capabilities = conversation.capabilities ?? (await conversation.askCapabilities(this.#signal))
      const { untagged } = conversation
      const unread = conversation.dialogue.release()
      const { backend, socket: stream } = conversation.link
      stream.on('error', ignore)
      return { ok: true, backend, stream, unread, untagged, capabilities }
    } catch (error) {
      return this.#failed(error)
    }
  }

  #failed(error: unknown): FailedLogin | 'next' {
    const { link, dialogue } = this.#conversation
    dialogue.release()
    link.socket.on('error', ignore)
    if (error instanceof DialogueError) {
      this.detail = `${link.backend}: ${error.message}`
      // For a client that left a backend is not to blame; nor for what it does behind credentials, which may be about them:
      // or anybody could take it away from all others.
      if (this.#request.signal.aborted || this.#haveCredentialsGone) link.socket.destroy()
      else link.failed(error.message, error.how)
      return this.#haveCredentialsGone ? failure('unreachable', this.detail) : 'next'
    }
    link.socket.destroy()
    if (!(error instanceof Unusable)) throw error
    this.detail = `${link.backend}: ${error.message}`
    if (error.fault !== 'next') return failure(error.fault, this.detail)
    return this.#haveCredentialsGone ? failure('unreachable', this.detail) : 'next'
  }

  // ── credentials ───────────────────────────────────────────────────────────

  async #signIn(): Promise<Tagged> {
    const conversation = this.#conversation
    const { line, sasl, held: first } = this.#begin()
    const announcement = this.#announcement()
    conversation.capabilities = undefined
    conversation.untagged = ''
    this.#haveCredentialsGone = true
    conversation.dialogue.send(`${announcement}${line}\r\n`)
    for (let held = first; ; held = undefined) {
      const said = await conversation.untilTagged('L', this.#signal)
      if (said.kind === 'tagged') {
        if (said.status === 'OK' && (held !== undefined || sasl?.isComplete === false)) {
          throw new DialogueError('it says OK before its proof was due')
        }
        return said
      }
      if (sasl === undefined) throw new DialogueError('it asks for more than LOGIN has')
      conversation.dialogue.send(`${held ?? (await answerOf(sasl, said.text))}\r\n`)
    }
  }

  /** The command, and what follows it. */
  #begin(): SignInCommand {
    const { backends, account, limits } = this.#request
    const { credentials: given, mechanisms } = backends
    const credentials = this.#credentials()
    const { username, password } = credentials
    const words = [username, password?.reveal() ?? '']
    if (username === '' || [...words, account].some((word) => /[\0\r\n]/.test(word))) {
      throw new Unusable(given === undefined ? 'denied' : 'misconfigured', 'a name or password that IMAP cannot say')
    }
    const isQuotable = words.every((word) => /^[\x20-\x7e]+$/.test(word) && word.length <= limits.maxQuotedBytes)
    const takesLogin = !this.#conversation.offers('LOGINDISABLED')
    if (given?.as !== 'master' && mechanisms === undefined && isQuotable && takesLogin) {
      return { line: `L LOGIN ${words.map(encodeString).join(' ')}`, held: undefined, sasl: undefined }
    }
    const wanted = given?.as === 'master' ? ['PLAIN'] : (mechanisms ?? byDefault)
    const usable = wanted.filter((name) => this.#conversation.offers(`AUTH=${name}`))
    const sasl = chooseSasl(usable, credentials, this.#conversation.link.tlsExporter)
    if (sasl === undefined) throw new Unusable('misconfigured', 'it offers no way to sign in that our credentials suit')
    return { sasl, ...commandOf(sasl, this.#conversation.offers('SASL-IR')) }
  }

  /** A directory may give a name, and leave the password to the client. */
  #credentials(): SaslClientCredentials {
    const { backends, account, credentials: own } = this.#request
    const given = backends.credentials
    if (given?.as === 'master') return { username: given.username, password: given.password, actAs: account }
    if (given === undefined) return own
    const { as: _, username = account, ...proofs } = given
    return givesProof(given) ? { username, ...proofs } : { ...own, username }
  }

  /** RFC 2971, to a backend that believes us. */
  #announcement(): string {
    const { backends, connection, clientId } = this.#request
    if (backends.announcesById === 'no') return ''
    if (this.#conversation.offers('ID')) {
      return `I ID (${idPairs(connection, clientId).map(encodeString).join(' ')})\r\n`
    }
    if (backends.announcesById === 'if-offered') return ''
    throw new Unusable('misconfigured', 'it does not offer ID, by which the client should be announced')
  }

  #refused({ status, text }: Tagged): FailedLogin {
    const { link, dialogue } = this.#conversation
    const { credentials } = this.#request.backends
    const isOurs = credentials !== undefined && givesProof(credentials)
    const { fault, completion } = readRefusal(status === 'NO' ? 'NO' : 'BAD', text, isOurs)
    dialogue.release()
    link.socket.on('error', ignore)
    link.socket.end('Q LOGOUT\r\n')
    link.socket.resume()
    // Without its text: a server may repeat there what it was told, and that is a password.
    const code = /^\[([A-Za-z0-9-]{1,32})/.exec(text)?.[1]
    const said = code === undefined ? status : `${status} [${code.toUpperCase()}]`
    const isVerdict = status === 'NO' && verdicts.has(fault)
    return { ...failure(fault, `${link.backend}: ${said} to the sign-in`, completion), isVerdict }
  }
}

/** `misconfigured`: our own credentials were refused, or we were referred to another server. */
const verdicts: ReadonlySet<LoginFault> = new Set(['denied', 'refused', 'misconfigured'])

interface SignInCommand {
  readonly line: string
  /** The first response, where the backend asks for it. */
  readonly held: string | undefined
  /** Absent for LOGIN. */
  readonly sasl: SaslClient | undefined
}

async function answerOf(sasl: SaslClient, challenge: string): Promise<string> {
  const answer = await sasl.answer(challenge)
  // It may lie in what this one user gave, or is kept with: the backend is not to be left alone for it.
  if (!answer.ok) throw new Unusable('next', answer.problem)
  return answer.response
}

/** Where none are configured: what takes one round trip, for tokens and for passwords. */
const byDefault: readonly SaslMechanism[] = ['OAUTHBEARER', 'XOAUTH2', 'PLAIN', 'LOGIN']

/** RFC 4959: the first response goes with the command where the backend takes it, and waits for `+` where not. */
function commandOf({ mechanism, initial }: SaslClient, takesInitial: boolean): Omit<SignInCommand, 'sasl'> {
  if (initial === undefined) return { line: `L AUTHENTICATE ${mechanism}`, held: undefined }
  if (!takesInitial) return { line: `L AUTHENTICATE ${mechanism}`, held: initial }
  return { line: `L AUTHENTICATE ${mechanism} ${initial === '' ? '=' : initial}`, held: undefined }
}

function ignore(): void {}
