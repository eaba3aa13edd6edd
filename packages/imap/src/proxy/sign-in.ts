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
import { chooseSasl, type ConnectionInfo, type SaslClient, type SaslMechanism, type Secret } from '@postern/core'
import type { ImapProxyLimits } from '../limits.ts'
import { encodeString, type Completion } from '../wire/response.ts'
import { BackendDialogue, DialogueError, type BackendResponse } from './backend-dialogue.ts'
import type { BackendLink, LoginBackends } from './backends.ts'
import { faults, readRefusal, type LoginFault } from './faults.ts'
import { idPairs, type ClientId } from './client-id.ts'

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
}

/** Never rejects. A connection that is not given back is closed. */
export async function signInAtBackend(request: LoginRequest): Promise<OpenedBackend | FailedLogin> {
  const { backends, limits, clientId, connection, signal } = request
  if (clientId.proxiesLeft <= 0) {
    return failure('loop', `connection ${connection.id} has come through ${limits.maxProxies} proxies`)
  }
  const deadline = AbortSignal.any([signal, AbortSignal.timeout(limits.signInPatienceMs)])
  let detail = ''
  while (!deadline.aborted) {
    const connecting = await backends.next(deadline)
    if (!connecting.ok) return failure('unreachable', detail === '' ? connecting.detail : detail)
    const attempt = new Attempt(request, connecting.link, deadline)
    const result = await attempt.run()
    if (result !== 'next') return result
    detail = attempt.detail
  }
  return failure('unreachable', detail === '' ? 'not in time' : detail)
}

function failure(fault: LoginFault, detail: string, completion = faults[fault].completion): FailedLogin {
  return { ok: false, fault, completion, detail }
}

/** One backend cannot be used: what that means for the login. */
class Unusable extends Error {
  override readonly name = 'Unusable'
  /** Another backend may do. */
  readonly fault: LoginFault | 'next'
  /** It counts against the backend. */
  readonly isUnsound: boolean

  constructor(fault: LoginFault | 'next', detail: string, isUnsound = false) {
    super(detail)
    this.fault = fault
    this.isUnsound = isUnsound
  }
}

class Attempt {
  /** Why it came to nothing, with the backend's name. */
  detail = ''
  readonly #request: LoginRequest
  readonly #signal: AbortSignal
  #link: BackendLink
  #dialogue: BackendDialogue
  /** Absent while the backend has not told. */
  #capabilities: readonly string[] | undefined
  #haveCredentialsGone = false
  #untagged = ''

  constructor(request: LoginRequest, link: BackendLink, signal: AbortSignal) {
    this.#request = request
    this.#signal = signal
    this.#link = link
    this.#dialogue = new BackendDialogue(link.socket, request.limits)
  }

  async run(): Promise<OpenedBackend | FailedLogin | 'next'> {
    const opening = AbortSignal.any([this.#signal, AbortSignal.timeout(this.#request.limits.openingPatienceMs)])
    try {
      await this.#open(opening)
      const said = await this.#signIn()
      if (said.status !== 'OK') return this.#refused(said)
      this.#readCode(said.text)
      const capabilities = this.#capabilities ?? (await this.#askCapabilities(this.#signal))
      const unread = this.#dialogue.release()
      const { backend, socket: stream } = this.#link
      stream.on('error', ignore)
      return { ok: true, backend, stream, unread, untagged: this.#untagged, capabilities }
    } catch (error) {
      return this.#failed(error)
    }
  }

  #failed(error: unknown): FailedLogin | 'next' {
    if (!(error instanceof Unusable || error instanceof DialogueError)) {
      this.#link.socket.destroy()
      throw error
    }
    const said = error.message === '' ? 'an error without words' : error.message
    this.detail = `${this.#link.backend}: ${said}`
    const isUnsound = error instanceof DialogueError ? !this.#request.signal.aborted : error.isUnsound
    this.#dialogue.release()
    this.#link.socket.on('error', ignore)
    if (isUnsound) this.#link.failed(said)
    else this.#link.socket.destroy()
    const fault = error instanceof Unusable ? error.fault : 'next'
    if (fault !== 'next') return failure(fault, this.detail)
    return this.#haveCredentialsGone ? failure('unreachable', this.detail) : 'next'
  }

  // ── up to the credentials ─────────────────────────────────────────────────

  async #open(signal: AbortSignal): Promise<void> {
    await this.#greeting(signal)
    const { backends } = this.#request
    const { tls } = backends
    if (!this.#link.isSecure && (tls === 'starttls' || tls === 'optional')) await this.#startTls(tls, signal)
    if (!this.#link.isSecure && !backends.sendsCredentialsInClear) {
      throw new Unusable('misconfigured', 'credentials are not sent in the clear')
    }
    const capabilities = this.#capabilities ?? (await this.#askCapabilities(signal))
    this.#link.succeeded(capabilities)
  }

  /** RFC 3501 section 7.1: `* OK`. `BYE`: not now. `PREAUTH`: as somebody whom we do not know. */
  async #greeting(signal: AbortSignal): Promise<void> {
    const greeting = await this.#dialogue.next(signal)
    const [, status = '', text = ''] = /^(OK|BYE|PREAUTH)\b ?([^]*)$/i.exec(textOf(greeting)) ?? []
    if (greeting.kind !== 'untagged' || status === '') throw new DialogueError('its greeting is none of IMAP')
    // It may be about the client that was announced to it, so it counts not against the backend.
    if (status.toUpperCase() === 'BYE') throw new Unusable('next', `it greeted with BYE ${shown(text)}`)
    if (status.toUpperCase() === 'PREAUTH') {
      throw new Unusable('misconfigured', 'it greeted with PREAUTH: everybody would be signed in as somebody else')
    }
    this.#readCode(text)
  }

  /** RFC 3501 section 6.2.1. What was said in the clear is forgotten, and asked anew. */
  async #startTls(mode: 'starttls' | 'optional', signal: AbortSignal): Promise<void> {
    const capabilities = this.#capabilities ?? (await this.#askCapabilities(signal))
    if (!capabilities.includes('STARTTLS')) {
      if (mode === 'optional') return
      throw new Unusable('misconfigured', 'it does not offer STARTTLS')
    }
    this.#dialogue.send('S STARTTLS\r\n')
    const said = await this.#tagged('S', signal)
    if (said.status !== 'OK') throw new Unusable('misconfigured', `STARTTLS: ${said.status} ${shown(said.text)}`)
    // CVE-2011-0411: somebody on the way wrote them, to be read as if TLS had protected them.
    if (this.#dialogue.hasUnread) throw new DialogueError('bytes in the clear came behind the OK to STARTTLS')
    this.#dialogue.release()
    const secured = await this.#link.secure(signal)
    if (!secured.ok) throw new Unusable('next', secured.detail)
    this.#link = secured.link
    this.#dialogue = new BackendDialogue(secured.link.socket, this.#request.limits)
    this.#capabilities = undefined
  }

  async #askCapabilities(signal: AbortSignal): Promise<readonly string[]> {
    this.#dialogue.send('C CAPABILITY\r\n')
    const said = await this.#tagged('C', signal)
    if (said.status === 'OK') this.#readCode(said.text)
    if (this.#capabilities === undefined) throw new DialogueError('it does not say what it offers')
    return this.#capabilities
  }

  // ── credentials ───────────────────────────────────────────────────────────

  async #signIn(): Promise<Tagged> {
    const offered = this.#capabilities ?? []
    const begin = this.#begin(offered)
    const announcement = this.#announcement(offered)
    this.#capabilities = undefined
    this.#untagged = ''
    this.#haveCredentialsGone = true
    this.#dialogue.send(`${announcement}${begin.line}\r\n`)
    let { held, sasl } = begin
    for (;;) {
      const said = await this.#untilTagged('L', this.#signal)
      if (said.kind === 'tagged') {
        if (said.status === 'OK' && (held !== undefined || sasl?.isComplete === false)) {
          throw new DialogueError('it says OK before its proof was due')
        }
        return said
      }
      if (sasl === undefined) throw new DialogueError('it asks for more than LOGIN has')
      if (held === undefined) {
        const answer = await sasl.answer(said.text)
        if (!answer.ok) throw new DialogueError(answer.problem)
        this.#dialogue.send(`${answer.response}\r\n`)
      } else {
        this.#dialogue.send(`${held}\r\n`)
        held = undefined
      }
    }
  }

  /** The command, and what follows it. */
  #begin(offered: readonly string[]): { line: string; held: string | undefined; sasl: SaslClient | undefined } {
    const { backends, account, limits } = this.#request
    const given = backends.credentials
    const credentials = given?.as === 'given' ? { username: account, ...given } : (given ?? this.#request.credentials)
    const { username, password } = credentials
    const isSpeakable = [username, account, password?.reveal() ?? ''].every((text) => !/[\0\r\n]/.test(text))
    if (!isSpeakable || username === '') throw new Unusable('denied', 'a name or password that IMAP cannot say')
    if (given === undefined && backends.mechanisms === undefined && password !== undefined) {
      const words = [username, password.reveal()]
      const isPlain = words.every((word) => /^[\x20-\x7e]+$/.test(word) && word.length <= limits.maxQuotedBytes)
      if (isPlain && !offered.includes('LOGINDISABLED')) {
        return { line: `L LOGIN ${words.map(encodeString).join(' ')}`, held: undefined, sasl: undefined }
      }
    }
    const mechanisms = offered.filter((name) => name.startsWith('AUTH=')).map((name) => name.slice(5))
    const sasl =
      given?.as === 'master'
        ? chooseSasl(
            mechanisms.filter((name) => name === 'PLAIN'),
            { username, password: given.password, actAs: account },
          )
        : chooseSasl(usable(mechanisms, backends.mechanisms ?? byDefault), credentials, this.#link.tlsExporter)
    if (sasl === undefined) throw new Unusable('misconfigured', 'it offers no way to sign in that our credentials suit')
    return { sasl, ...commandOf(sasl, offered.includes('SASL-IR')) }
  }

  /** RFC 2971, to a backend that believes us. */
  #announcement(offered: readonly string[]): string {
    const { backends, connection, clientId } = this.#request
    if (backends.announcesById === 'no') return ''
    if (offered.includes('ID')) return `I ID (${idPairs(connection, clientId).map(encodeString).join(' ')})\r\n`
    if (backends.announcesById === 'if-offered') return ''
    throw new Unusable('misconfigured', 'it does not offer ID, by which the client should be announced')
  }

  #refused({ status, text }: Tagged): FailedLogin {
    const isOurs = this.#request.backends.credentials !== undefined
    const { fault, completion } = readRefusal(status === 'NO' ? 'NO' : 'BAD', text, isOurs)
    this.#dialogue.release()
    this.#link.socket.on('error', ignore)
    this.#link.socket.end('Q LOGOUT\r\n')
    this.#link.socket.resume()
    // Without its text: a server may repeat there what it was told, and that is a password.
    const code = /^\[([A-Za-z0-9-]{1,32})/.exec(text)?.[1]
    const detail = `${this.#link.backend}: ${status}${code === undefined ? '' : ` [${code.toUpperCase()}]`} to the sign-in`
    return failure(fault, detail, completion)
  }

  // ── responses ─────────────────────────────────────────────────────────────

  async #tagged(tag: string, signal: AbortSignal): Promise<Tagged> {
    const said = await this.#untilTagged(tag, signal)
    if (said.kind === 'continue') throw new DialogueError(`it wants more of ${tag}`)
    return said
  }

  /** Untagged responses on the way: capabilities are noted, and what is for the client is kept. */
  async #untilTagged(tag: string, signal: AbortSignal): Promise<Exclude<BackendResponse, { kind: 'untagged' }>> {
    for (;;) {
      const said = await this.#dialogue.next(signal)
      if (said.kind === 'untagged') this.#take(said.text)
      // What it says to ID matters to nobody.
      else if (said.kind === 'continue' || said.tag === tag) return said
      else if (said.tag !== 'I') throw new DialogueError('it answers what was not asked')
    }
  }

  #take(text: string): void {
    const [, word = '', rest = ''] = /^([A-Za-z0-9]+)(?: ([^]*))?$/.exec(text) ?? []
    switch (word.toUpperCase()) {
      case 'CAPABILITY':
        this.#capabilities = wordsOf(rest)
        return
      case 'BYE':
        throw new Unusable('next', `it took its leave: BYE ${shown(rest)}`)
      // What it says of itself, as of what is enabled, is for us.
      case 'ID':
      case 'ENABLED':
        return
      default:
        if (this.#untagged.length + text.length > this.#request.limits.maxKeptBytes) return
        this.#untagged += `* ${text}\r\n`
    }
  }

  #readCode(text: string): void {
    const [, capabilities] = /^\[CAPABILITY ([^\]]*)\]/i.exec(text) ?? []
    if (capabilities !== undefined) this.#capabilities = wordsOf(capabilities)
  }
}

type Tagged = Extract<BackendResponse, { readonly kind: 'tagged' }>

/** Where none are configured: what takes one round trip, for passwords and for tokens. */
const byDefault = ['OAUTHBEARER', 'XOAUTH2', 'PLAIN', 'LOGIN'] as const satisfies readonly SaslMechanism[]

function usable(offered: readonly string[], wanted: readonly string[]): readonly string[] {
  return wanted.filter((name) => offered.includes(name))
}

/** RFC 4959: the first response goes with the command where the backend takes it, and waits for `+` where not. */
function commandOf(
  { mechanism, initial }: SaslClient,
  takesInitial: boolean,
): { line: string; held: string | undefined } {
  if (initial === undefined) return { line: `L AUTHENTICATE ${mechanism}`, held: undefined }
  if (!takesInitial) return { line: `L AUTHENTICATE ${mechanism}`, held: initial }
  return { line: `L AUTHENTICATE ${mechanism} ${initial === '' ? '=' : initial}`, held: undefined }
}

function wordsOf(text: string): readonly string[] {
  return text.trim().split(/ +/)
}

function textOf(response: BackendResponse): string {
  return response.kind === 'untagged' ? response.text : ''
}

/** For the operator's log, which escapes it. */
function shown(text: string): string {
  return text.slice(0, 120)
}

function ignore(): void {}
