/* REPLACE and UID REPLACE (RFC 8508): a new message takes the place of an old one, in one command. */
import type { Uid } from '@postern/core'
import type { AnnouncedLiteral } from '../../wire/framing.ts'
import { parseSequenceSet } from '../../wire/sequence-set.ts'
import { bad, no, ok, type Completion } from '../../wire/response.ts'
import type { Tokens } from '../../wire/tokens.ts'
import { badArguments } from '../arguments.ts'
import { refusedByStore, type IncomingMessages, type Outcome } from '../outcome.ts'
import type { SessionState } from '../state.ts'
import { beginAppend } from './append.ts'
import type { Naming } from './message-set.ts'

/** A whole line without a literal at its end holds no message. */
export function replace(_state: SessionState, _args: Tokens): Outcome {
  return badArguments
}

export function beginReplace(
  state: SessionState,
  args: Tokens,
  literal: AnnouncedLiteral,
): Promise<IncomingMessages | Completion | 'argument'> {
  return begin(state, args, literal, 'number')
}

export function beginUidReplace(
  state: SessionState,
  args: Tokens,
  literal: AnnouncedLiteral,
): Promise<IncomingMessages | Completion | 'argument'> {
  return begin(state, args, literal, 'uid')
}

/** `replace = "REPLACE" SP seq-number SP mailbox append-message` (RFC 8508 section 5) */
async function begin(
  state: SessionState,
  args: Tokens,
  literal: AnnouncedLiteral,
  naming: Naming,
): Promise<IncomingMessages | Completion | 'argument'> {
  const { view, isReadOnly } = state.mailbox
  const text = args.space() ? args.sequenceSet() : undefined
  const set = text === undefined || /[:,]/.test(text) ? undefined : parseSequenceSet(text, 1)
  if (set === undefined) return badArguments
  const [old] = (naming === 'uid' ? view.byUids(set) : view.byNumbers(set)) ?? []
  if (isReadOnly) return no('Mailbox is read-only')
  if (old === undefined) return naming === 'uid' ? no('No such message', 'NONEXISTENT') : bad('No such message')
  const messages = await beginAppend(state, args, literal)
  return messages === 'argument' || 'status' in messages ? messages : new Replacement(state, old.record.uid, messages)
}

/** The old message goes when the new one is there, so one of them always is. */
class Replacement implements IncomingMessages {
  readonly #state: SessionState
  readonly #old: Uid
  readonly #messages: IncomingMessages

  constructor(state: SessionState, old: Uid, messages: IncomingMessages) {
    this.#state = state
    this.#old = old
    this.#messages = messages
  }

  write(chunk: Buffer): ReturnType<IncomingMessages['write']> {
    return this.#messages.write(chunk)
  }

  async next(): Promise<Completion> {
    return bad('One message is expected')
  }

  async finish(rest: string): Promise<Completion> {
    const added = await this.#messages.finish(rest)
    if (added.status !== 'OK') return added
    const { mailbox, view } = this.#state.mailbox
    // RFC 8508 section 3.2: the new UID is told before the old message is told gone.
    if (added.code !== undefined) this.#state.write(`* OK [${added.code}] Replacement is there\r\n`)
    const marked = await mailbox.setFlags([this.#old], { op: 'add', flags: ['\\Deleted'] })
    const removed = marked.ok ? await mailbox.expunge([this.#old]) : marked
    if (!removed.ok) return refusedByStore(removed.refusal)
    view.expunge(removed.value)
    return ok('Replace completed')
  }

  abort(): Promise<void> {
    return this.#messages.abort()
  }
}
