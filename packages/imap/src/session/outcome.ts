import type { Awaitable, CloseReason, StoreRefusal } from '@postern/core'
import type { EnteredBackend } from '../proxy/login.ts'
import type { AnnouncedLiteral } from '../wire/framing.ts'
import { no, type Completion, type ResponseCode } from '../wire/response.ts'

/** What becomes of a command. */
export type Outcome = Finished | Conversation

/** The command is answered with one tagged response, and then something may follow. */
export interface Finished extends Completion {
  readonly after?:
    | { readonly next: 'upgrade-tls' }
    | { readonly next: 'compress' }
    /** The client speaks with this backend from now on. */
    | { readonly next: 'hand-on'; readonly backend: EnteredBackend; readonly release: () => void }
    | { readonly next: 'close'; readonly reason: CloseReason; readonly bye?: string }
}

/** The command has written what it had to, and wants another line from the client (AUTHENTICATE, IDLE). */
export interface Conversation {
  readonly onLine: (line: string) => Awaitable<Outcome>
}

/** Messages on their way into the store (APPEND). */
export interface IncomingMessages {
  write(chunk: Buffer): Awaitable<void>
  /**
   * Another message is announced behind the one before.
   *
   * @param text - what stood between them.
   * @returns the refusal, if it is refused.
   */
  next(text: string, literal: AnnouncedLiteral): Promise<Completion | undefined>
  /** @param rest - what stood behind the last message. */
  finish(rest: string): Promise<Completion>
  abort(): Promise<void>
}

/** The selected mailbox went away under the session. */
export const mailboxGone: Completion = no('Selected mailbox is gone', 'UNAVAILABLE')

/** The store's refusals in the words of RFC 5530. */
const refusals: Readonly<Record<StoreRefusal, { readonly code: ResponseCode; readonly text: string }>> = {
  'no-such-mailbox': { code: 'NONEXISTENT', text: 'No such mailbox' },
  'mailbox-exists': { code: 'ALREADYEXISTS', text: 'Mailbox exists already' },
  'bad-name': { code: 'CANNOT', text: 'Not a name for a mailbox' },
  'bad-use': { code: 'USEATTR', text: 'Another mailbox has that use' },
  'has-children': { code: 'HASCHILDREN', text: 'Mailbox has children' },
  'over-quota': { code: 'OVERQUOTA', text: 'Over quota' },
  'no-space': { code: 'UNAVAILABLE', text: 'No space left, try again later' },
  limit: { code: 'LIMIT', text: 'A limit of the store is reached' },
  unavailable: { code: 'UNAVAILABLE', text: 'Store is unavailable, try again later' },
}

export function refusedByStore(refusal: StoreRefusal): Completion {
  const { code, text } = refusals[refusal]
  return no(text, code)
}

/** For APPEND, COPY and MOVE, which tell the client that it may create the mailbox (RFC 3501 section 7.1). */
export function refusedAsTarget(refusal: StoreRefusal): Completion {
  return refusal === 'no-such-mailbox' ? no('No such mailbox', 'TRYCREATE') : refusedByStore(refusal)
}
