import type { Duplex } from 'node:stream'
import type { ImapProxyLimits } from '../limits.ts'
import { ResponseTracker } from './response-tracker.ts'

/** One response of a backend, without its line end; one octet in each character, literals in their places. */
export type BackendResponse =
  | { readonly kind: 'untagged'; readonly text: string }
  | { readonly kind: 'continue'; readonly text: string }
  | { readonly kind: 'tagged'; readonly tag: string; readonly status: 'OK' | 'NO' | 'BAD'; readonly text: string }

/** The connection is of no use; the words are for the operator's log. */
export class DialogueError extends Error {
  override readonly name = 'DialogueError'
  /** `lost`: it is closed, and nothing is known beyond that. */
  readonly how: 'lost' | 'unsound'

  constructor(detail: string, how: DialogueError['how'] = 'unsound') {
    super(detail)
    this.how = how
  }
}

const LF = 10
const CR = 13
const nothing = Buffer.alloc(0)

/** Speaks IMAP to a backend as its client until somebody is signed in; then the stream is given away as it stands. */
export class BackendDialogue {
  readonly #stream: Duplex
  readonly #limits: Pick<ImapProxyLimits, 'maxResponseBytes'>
  #received: Buffer = nothing
  /** Of `#received`: how far it was looked through, by whom. */
  #tracked = 0
  #tracker = new ResponseTracker()
  #lost: string | undefined
  #wake: (() => void) | undefined

  constructor(stream: Duplex, limits: Pick<ImapProxyLimits, 'maxResponseBytes'>) {
    this.#stream = stream
    this.#limits = limits
    stream.on('data', this.#onData).on('error', this.#onError).on('end', this.#onEnd).on('close', this.#onEnd)
    if (stream.destroyed) this.#onEnd()
  }

  /** Bytes that came behind the last response. */
  get hasUnread(): boolean {
    return this.#received.length > 0
  }

  /** @param text - whole lines; one octet in each character. */
  send(text: string): void {
    this.#stream.write(text, 'latin1')
  }

  /**
   * The next response.
   *
   * @throws {DialogueError} when there is none: the connection ended, the signal was aborted, or it is no IMAP.
   */
  async next(signal: AbortSignal): Promise<BackendResponse> {
    for (;;) {
      const text = this.#take()
      if (text !== undefined) return parseResponse(text)
      if (this.#lost !== undefined) throw new DialogueError(this.#lost, 'lost')
      if (this.#received.length > this.#limits.maxResponseBytes) throw new DialogueError('a response without end')
      if (signal.aborted) throw new DialogueError('not in time')
      await this.#more(signal)
    }
  }

  /** Lets go of the stream, which is paused. What was read too much comes back, and nobody listens any more. */
  release(): Buffer {
    this.#stream.pause()
    this.#stream.off('data', this.#onData).off('error', this.#onError).off('end', this.#onEnd).off('close', this.#onEnd)
    const unread = this.#received
    this.#received = nothing
    return unread
  }

  #more(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const settle = (): void => {
        this.#wake = undefined
        signal.removeEventListener('abort', settle)
        resolve()
      }
      this.#wake = settle
      signal.addEventListener('abort', settle, { once: true })
    })
  }

  /** A whole response, if there is one. */
  #take(): string | undefined {
    // Line by line, so that the tracker has seen nothing of what comes behind the response.
    for (
      let lf = this.#received.indexOf(LF, this.#tracked);
      lf !== -1;
      lf = this.#received.indexOf(LF, this.#tracked)
    ) {
      this.#tracker.feed(this.#received.subarray(this.#tracked, lf + 1))
      this.#tracked = lf + 1
      if (!this.#tracker.isAtBoundary) continue
      const end = this.#received[lf - 1] === CR ? lf - 1 : lf
      const text = this.#received.toString('latin1', 0, end)
      this.#received = this.#received.subarray(lf + 1)
      this.#tracked = 0
      return text
    }
    return undefined
  }

  readonly #onData = (chunk: Buffer): void => {
    this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk])
    this.#wake?.()
  }

  readonly #onError = (error: Error): void => this.#lose((error as NodeJS.ErrnoException).code ?? error.message)
  readonly #onEnd = (): void => this.#lose('it closed the connection')

  #lose(detail: string): void {
    this.#lost ??= detail
    this.#wake?.()
  }
}

function parseResponse(text: string): BackendResponse {
  if (text.startsWith('* ')) return { kind: 'untagged', text: text.slice(2) }
  if (text === '+' || text.startsWith('+ ')) return { kind: 'continue', text: text.slice(2) }
  const [, tag = '', status = '', rest = ''] = /^([!-*,-~]{1,64}) (OK|NO|BAD)(?: ([^]*))?$/i.exec(text) ?? []
  if (tag === '') throw new DialogueError(`it does not speak IMAP: ${JSON.stringify(text.slice(0, 60))}`)
  return { kind: 'tagged', tag, status: status.toUpperCase() as 'OK' | 'NO' | 'BAD', text: rest }
}
