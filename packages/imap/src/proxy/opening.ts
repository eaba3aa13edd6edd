/*
 * A connection to a backend up to the sign-in: greeting, STARTTLS, CAPABILITY. Also all there is to a look at a backend.
 */
import type { ImapProxyLimits } from '../limits.ts'
import { BackendDialogue, DialogueError, type BackendResponse } from './backend-dialogue.ts'
import type { BackendLink, LoginBackends } from './backends.ts'
import type { LoginFault } from './faults.ts'

/** One backend cannot be used: what that means for the login. */
export class Unusable extends Error {
  override readonly name = 'Unusable'
  /** `next`: another backend may do. */
  readonly fault: LoginFault | 'next'

  constructor(fault: LoginFault | 'next', detail: string) {
    super(detail)
    this.fault = fault
  }
}

export type Tagged = Extract<BackendResponse, { readonly kind: 'tagged' }>

/** Every method throws `Unusable` or `DialogueError` when the backend is no use. */
export class BackendConversation {
  link: BackendLink
  dialogue: BackendDialogue
  /** Untagged responses that are for the client, with their line ends. */
  untagged = ''
  /** Absent while the backend has not told. As it wrote them, in its order. */
  capabilities: readonly string[] | undefined
  readonly #limits: Pick<ImapProxyLimits, 'maxResponseBytes' | 'maxKeptBytes'>

  constructor(link: BackendLink, limits: Pick<ImapProxyLimits, 'maxResponseBytes' | 'maxKeptBytes'>) {
    this.link = link
    this.dialogue = new BackendDialogue(link.socket, limits)
    this.#limits = limits
  }

  /** Whether the backend offers something, by its name in capitals. */
  offers(name: string): boolean {
    return this.capabilities?.some((each) => each.toUpperCase() === name) === true
  }

  /** @returns when it is known what the backend offers, under TLS where that is wanted. */
  async open(tls: LoginBackends['tls'], signal: AbortSignal): Promise<void> {
    await this.#greeting(signal)
    if (!this.link.isSecure && (tls === 'starttls' || tls === 'optional')) await this.#startTls(tls, signal)
    if (this.capabilities === undefined) await this.askCapabilities(signal)
  }

  async askCapabilities(signal: AbortSignal): Promise<readonly string[]> {
    this.dialogue.send('C CAPABILITY\r\n')
    const said = await this.#tagged('C', signal)
    if (said.status === 'OK') this.readCode(said.text)
    if (this.capabilities === undefined) throw new DialogueError('it does not say what it offers')
    return this.capabilities
  }

  /** Untagged responses on the way: capabilities are noted, and what is for the client is kept. */
  async untilTagged(tag: string, signal: AbortSignal): Promise<Exclude<BackendResponse, { kind: 'untagged' }>> {
    for (;;) {
      const said = await this.dialogue.next(signal)
      if (said.kind === 'untagged') this.#take(said.text)
      // What it says to ID matters to nobody.
      else if (said.kind === 'continue' || said.tag === tag) return said
      else if (said.tag !== 'I') throw new DialogueError('it answers what was not asked')
    }
  }

  /** RFC 3501 section 7.1: capabilities may stand in the greeting, and in the OK to a sign-in. */
  readCode(text: string): void {
    const [, capabilities] = /^\[CAPABILITY ([^\]]*)\]/i.exec(text) ?? []
    if (capabilities !== undefined) this.capabilities = wordsOf(capabilities)
  }

  /** RFC 3501 section 7.1: `* OK`. `BYE`: not now. `PREAUTH`: as somebody whom we do not know. */
  async #greeting(signal: AbortSignal): Promise<void> {
    const greeting = await this.dialogue.next(signal)
    const text = greeting.kind === 'untagged' ? greeting.text : ''
    const [, status = '', rest = ''] = /^(OK|BYE|PREAUTH)\b ?([^]*)$/i.exec(text) ?? []
    if (status === '') throw new DialogueError('its greeting is none of IMAP')
    // It may be about the client that was announced to it, so it counts not against the backend.
    if (status.toUpperCase() === 'BYE') throw new Unusable('next', `it greeted with BYE ${shown(rest)}`)
    if (status.toUpperCase() === 'PREAUTH') {
      throw new Unusable('misconfigured', 'it greeted with PREAUTH: everybody would be signed in as somebody else')
    }
    this.readCode(rest)
  }

  /** RFC 3501 section 6.2.1. What was said in the clear is forgotten, and asked anew. */
  async #startTls(mode: 'starttls' | 'optional', signal: AbortSignal): Promise<void> {
    if (this.capabilities === undefined) await this.askCapabilities(signal)
    if (!this.offers('STARTTLS')) {
      if (mode === 'optional') return
      throw new Unusable('misconfigured', 'it does not offer STARTTLS')
    }
    this.dialogue.send('S STARTTLS\r\n')
    const said = await this.#tagged('S', signal)
    if (said.status !== 'OK') throw new Unusable('misconfigured', `STARTTLS: ${said.status} ${shown(said.text)}`)
    // CVE-2011-0411: somebody on the way wrote them, to be read as if TLS had protected them.
    if (this.dialogue.hasUnread) throw new DialogueError('bytes in the clear came behind the OK to STARTTLS')
    this.dialogue.release()
    const secured = await this.link.secure(signal)
    if (!secured.ok) throw new Unusable('next', secured.detail)
    this.link = secured.link
    this.dialogue = new BackendDialogue(secured.link.socket, this.#limits)
    this.capabilities = undefined
    this.untagged = ''
  }

  async #tagged(tag: string, signal: AbortSignal): Promise<Tagged> {
    const said = await this.untilTagged(tag, signal)
    if (said.kind === 'continue') throw new DialogueError(`it wants more of ${tag}`)
    return said
  }

  #take(text: string): void {
    const [, word = '', rest = ''] = /^([A-Za-z0-9]+)(?: ([^]*))?$/.exec(text) ?? []
    switch (word.toUpperCase()) {
      case 'CAPABILITY':
        this.capabilities = wordsOf(rest)
        return
      case 'BYE':
        throw new Unusable('next', `it took its leave: BYE ${shown(rest)}`)
      // What it says of itself, as of what is enabled, is for us.
      case 'ID':
      case 'ENABLED':
        return
      default:
        if (this.untagged.length + text.length > this.#limits.maxKeptBytes) return
        this.untagged += `* ${text}\r\n`
    }
  }
}

function wordsOf(text: string): readonly string[] {
  return text.trim().split(/ +/)
}

/** For the operator's log, which escapes it. */
function shown(text: string): string {
  return text.slice(0, 120)
}
