/* SEARCH and UID SEARCH: RFC 3501 sections 6.4.4 and 6.4.8, ESEARCH (RFC 4731), SEARCHRES (RFC 5182), PARTIAL (RFC 9394). */
import { bad, ok } from '../../wire/response.ts'
import { parseSearch } from '../../wire/search-keys.ts'
import { encodeEsearch, everything, parseResultOptions, savedOf, type ResultOptions } from '../../wire/search-result.ts'
import type { Tokens } from '../../wire/tokens.ts'
import { badArguments } from '../arguments.ts'
import { findMessages, searchFaults, type FoundMessages } from '../find-messages.ts'
import type { Outcome } from '../outcome.ts'
import type { SessionState } from '../state.ts'
import type { NumberedMessage } from '../view.ts'
import type { Naming } from './message-set.ts'

export function search(state: SessionState, args: Tokens): Promise<Outcome> {
  return searchMessages(state, args, 'number')
}

/** The numbers in the answer are UIDs; those in the keys are not, except after UID. */
export function uidSearch(state: SessionState, args: Tokens): Promise<Outcome> {
  return searchMessages(state, args, 'uid')
}

async function searchMessages(state: SessionState, args: Tokens, naming: Naming): Promise<Outcome> {
  // RFC 9051 section 6.4.4: every search is answered by ESEARCH.
  const options = parseResultOptions(args) ?? (state.isRev2 ? everything : undefined)
  if (options === 'malformed') return badArguments
  // RFC 6855 section 3: who speaks UTF-8 names no charset.
  if (state.enabled.has('UTF8=ACCEPT') && args.text.slice(args.at).toUpperCase().startsWith(' CHARSET ')) {
    return bad('Search strings are UTF-8 here')
  }
  const parsed = parseSearch(args)
  if (typeof parsed === 'string') {
    const refusal = searchFaults[parsed]
    // RFC 5182 section 2.1: a search that is refused with NO saves nothing; one that is BAD changes nothing.
    if (options?.save === true && refusal.status === 'NO') state.mailbox.saved = new Set()
    return refusal
  }
  const found = await findMessages(state, parsed)
  writeResult(state, 'SEARCH', found, naming, options)
  return ok('Search completed')
}

/**
 * Tells what was found, as the client asked for it, and saves it when it asked for that.
 *
 * @param found - its messages in the order of the result.
 */
export function writeResult(
  state: SessionState,
  command: 'SEARCH' | 'SORT',
  { messages: found, tellsModseq }: FoundMessages,
  naming: Naming,
  options: ResultOptions | undefined,
): void {
  const numbers = found.map(({ number, record }) => (naming === 'uid' ? record.uid : number))
  if (options === undefined) {
    const modseq = tellsModseq && found.length > 0 ? [`(MODSEQ ${highestOf(found)})`] : []
    state.write(`* ${[command, ...numbers, ...modseq].join(' ')}\r\n`)
    return
  }
  const kept = savedOf(found, options)
  if (options.save) {
    state.mailbox.saved = new Set(Array.from(kept, ({ record }) => record.uid))
  }
  const modseq = tellsModseq && found.length > 0 ? highestOf(kept) : undefined
  state.write(encodeEsearch(state.tag, naming === 'uid', numbers, options, modseq))
}

function highestOf(messages: Iterable<NumberedMessage>): bigint {
  let highest = 0n
  for (const { record } of messages) if ((record.modseq ?? 0n) > highest) highest = record.modseq ?? 0n
  return highest
}
