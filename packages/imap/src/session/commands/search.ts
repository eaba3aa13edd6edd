import { MessageReader } from '../../message/message-reader.ts'
import { findInBody } from '../../message/text-search.ts'
import { bad, no, ok } from '../../wire/response.ts'
import { parseSearch } from '../../wire/search-keys.ts'
import type { Tokens } from '../../wire/tokens.ts'
import { badArguments } from '../arguments.ts'
import type { Outcome } from '../outcome.ts'
import { HeaderFacts, SearchProgram } from '../search-program.ts'
import type { SessionState } from '../state.ts'
import type { NumberedMessage } from '../view.ts'
import type { Naming } from './message-set.ts'

/** RFC 3501 section 6.4.4. */
export function search(state: SessionState, args: Tokens): Promise<Outcome> {
  return searchMessages(state, args, 'number')
}

/** RFC 3501 section 6.4.8: the numbers in the answer are UIDs; those in the keys are not, except after UID. */
export function uidSearch(state: SessionState, args: Tokens): Promise<Outcome> {
  return searchMessages(state, args, 'uid')
}

async function searchMessages(state: SessionState, args: Tokens, naming: Naming): Promise<Outcome> {
  const parsed = parseSearch(args)
  if (parsed === 'charset') return no('Charset is not supported', 'BADCHARSET (US-ASCII UTF-8)')
  if (parsed === 'depth') return bad('Too many search keys, or nested too deep')
  if (parsed === 'words') return no('Too much to search for', 'LIMIT')
  if (parsed === 'syntax') return badArguments
  const { view, mailbox } = state.mailbox
  const program = SearchProgram.compile(parsed, view, mailbox.recent())
  if (program === undefined) return bad('No such message')
  let found = ''
  let number = 0
  // The numbers cannot change meanwhile: news is told when the command is over.
  for (const record of view.records) {
    number += 1
    await state.room()
    if (view.isGone(record.uid)) continue
    const message = { number, record }
    const isMatch = program.judge({ message }) ?? (await matchesContent(state, program, message))
    if (isMatch) found += ` ${naming === 'uid' ? record.uid : number}`
  }
  state.write(`* SEARCH${found}\r\n`)
  return ok('Search completed')
}

/** Looks no further into a message than its verdict needs: its header, then its texts. */
async function matchesContent(state: SessionState, program: SearchProgram, message: NumberedMessage): Promise<boolean> {
  const selected = state.mailbox
  const { uid } = message.record
  const content = await selected.mailbox.content(uid)
  if (content === undefined) return false
  const reader = new MessageReader(content, state.limits, selected.structureOf(uid))
  try {
    const header = new HeaderFacts((await reader.header()).text)
    const byHeader = program.judge({ message, header })
    if (byHeader !== undefined) return byHeader
    const found = await findInBody(reader, program.bodyWords)
    return program.judge({ message, header, found }) ?? false
  } finally {
    await reader.close()
  }
}
