import { parseSequenceSet } from '../../wire/sequence-set.ts'
import { bad, type Completion } from '../../wire/response.ts'
import type { Tokens } from '../../wire/tokens.ts'
import { badArguments } from '../arguments.ts'
import type { SelectedMailbox } from '../selected.ts'
import type { NumberedMessage } from '../view.ts'

/** Whether a set holds message sequence numbers or UIDs. */
export type Naming = 'number' | 'uid'

/** `SP sequence-set`: the messages it names, or the refusal. */
export function messageSet(
  selected: SelectedMailbox,
  args: Tokens,
  naming: Naming,
): { readonly messages: readonly NumberedMessage[] } | { readonly refusal: Completion } {
  const text = args.space() ? args.sequenceSet() : undefined
  const set = text === undefined ? undefined : parseSequenceSet(text, args.limits.maxSequenceRanges)
  if (set === undefined) return { refusal: badArguments }
  if (naming === 'uid') return { messages: selected.view.byUids(set) }
  const messages = selected.view.byNumbers(set)
  return messages === undefined ? { refusal: bad('No such message') } : { messages }
}
