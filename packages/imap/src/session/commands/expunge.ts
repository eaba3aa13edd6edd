import type { Uid } from '@postern/core'
import { no, ok } from '../../wire/response.ts'
import type { Tokens } from '../../wire/tokens.ts'
import { badArguments, noArguments } from '../arguments.ts'
import { tellNews } from '../news.ts'
import { refusedByStore, type Outcome } from '../outcome.ts'
import type { SessionState } from '../state.ts'
import { messageSet } from './message-set.ts'

/** RFC 3501 section 6.4.3. The EXPUNGE responses are told with the news at the end of the command. */
export async function expunge(state: SessionState, args: Tokens): Promise<Outcome> {
  const refusal = noArguments(args)
  if (refusal !== undefined) return refusal
  const { mailbox, view, isReadOnly } = state.mailbox
  if (isReadOnly) return no('Mailbox is read-only')
  const removed = await mailbox.expunge()
  if (!removed.ok) return refusedByStore(removed.refusal)
  view.expunge(removed.value)
  return expunged(state, removed.value, 'Expunge completed')
}

/** RFC 7162 sections 3.2.7 and 3.2.9: a client that resynchronizes is told how far it knows all after it. */
export async function expunged(state: SessionState, uids: readonly Uid[], text: string): Promise<Outcome> {
  if (uids.length === 0 || !state.enabled.has('QRESYNC') || !(await state.look())) return ok(text)
  await tellNews(state, true)
  return ok(text, `HIGHESTMODSEQ ${state.mailbox.toldModseq}`)
}

/** UID EXPUNGE of RFC 4315 section 2.1: only those of the set that are marked. */
export async function uidExpunge(state: SessionState, args: Tokens): Promise<Outcome> {
  const { mailbox, view, isReadOnly } = state.mailbox
  const set = messageSet(state.mailbox, args, 'uid')
  if ('refusal' in set) return set.refusal
  if (!args.isAtEnd) return badArguments
  if (isReadOnly) return no('Mailbox is read-only')
  const removed = await mailbox.expunge(set.messages.map(({ record }) => record.uid))
  if (!removed.ok) return refusedByStore(removed.refusal)
  view.expunge(removed.value)
  return expunged(state, removed.value, 'Expunge completed')
}
