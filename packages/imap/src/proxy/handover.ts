import type { CloseReason, Splice, Wish } from '@postern/core'
import { refusalResponse } from '../session/refusal.ts'
import type { EnteredBackend } from './login.ts'
import { CompressionWatch, ResponseTracker } from './response-tracker.ts'

/** What a session has left to do when its client speaks with a backend. */
export interface HandoverSurroundings {
  readonly hostname: string
  readonly write: (text: string) => void
  /** Asks for a call of `woken`. */
  readonly wake: () => void
  /** Gives back what policies counted of the session; called once. */
  readonly release: () => void
}

const goOn: Wish = { next: 'read', patienceMs: 0 }

/**
 * A client that was handed on to its backend. Both speak past us; what is left is to take leave between two responses when the
 * worker stops, or when the backend is gone, and to give back what was counted, once.
 */
export class Handover {
  readonly #backend: EnteredBackend
  readonly #surroundings: HandoverSurroundings
  readonly #responses = new ResponseTracker()
  readonly #compression = new CompressionWatch()
  /** The client has spoken since the backend did: a command is under way, as far as that can be told. */
  #isBusy = false
  #announcesLiteral = false
  #isStopping = false
  #isOver = false

  constructor(backend: EnteredBackend, surroundings: HandoverSurroundings) {
    this.#backend = backend
    this.#surroundings = surroundings
    this.#responses.feed(backend.unread)
  }

  /** @param first - what the client has sent behind its login. */
  splice(first: Buffer): Splice {
    if (first.length > 0) this.#heard(first)
    return {
      other: this.#backend.stream,
      first,
      onPassing: (bytes, to) => {
        if (to === 'other') {
          this.#heard(bytes)
        } else {
          this.#responses.feed(bytes)
          // To go on is no answer, where the client has announced a literal.
          this.#isBusy = this.#announcesLiteral
          if (this.#isStopping) this.#surroundings.wake()
        }
      },
      onOtherEnd: () => this.#backendLeft(),
    }
  }

  stopping(): Wish {
    this.#isStopping = true
    return this.woken()
  }

  woken(): Wish {
    // What it waits for may be the end of a message that it has sent.
    if (!this.#isStopping || this.#isBusy || !this.#mayBeTold) return goOn
    this.#surroundings.write(refusalResponse('stopping', this.#surroundings.hostname))
    return { next: 'close', reason: 'stopping' }
  }

  failed(): void {
    if (this.#mayBeTold) this.#surroundings.write(refusalResponse('internal-error', this.#surroundings.hostname))
  }

  ended(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#surroundings.release()
  }

  #heard(bytes: Buffer): void {
    this.#compression.feed(bytes)
    this.#isBusy = true
    this.#announcesLiteral = bytes.length >= 3 && bytes.toString('latin1', bytes.length - 3) === '}\r\n'
  }

  #backendLeft(): CloseReason {
    if (this.#responses.hasSaidBye) return 'quit'
    if (this.#mayBeTold) this.#surroundings.write(refusalResponse('backends-down', this.#surroundings.hostname))
    return 'backend-lost'
  }

  /** A BYE would stand between two responses, and be read. */
  get #mayBeTold(): boolean {
    return this.#responses.isAtBoundary && !this.#compression.mayBeCompressed
  }
}
