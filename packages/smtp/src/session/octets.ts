import type { Awaitable } from '@postern/core'
import type { Answer } from './answer.ts'

/** Takes what the client sends in place of command lines: the data behind DATA, or a chunk behind BDAT. */
export interface Octets {
  /** The command that it belongs to, for the observer. */
  readonly verb: 'DATA' | 'BDAT'
  /** How many more bytes it can tell to be its own; all that come, while only their content tells. */
  readonly wants: number
  /** Its end was found. */
  readonly isDone: boolean
  /** How many bytes of the last `receive` were its own. */
  readonly consumed: number
  /** @param bytes - the next piece, up to its end or beyond it. A view, valid until the promise settles. */
  receive(bytes: Buffer): Awaitable<void>
  /** The answer to all of it. */
  finish(): Awaitable<Answer>
}
