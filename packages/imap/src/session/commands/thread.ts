/* THREAD (RFC 5256 section 3, BASE.6.4.THREAD). */
import { baseSubject } from '../../message/base-subject.ts'
import { casemap } from '../../message/casemap.ts'
import { messageIds } from '../../message/message-ids.ts'
import { encodeThreads, threadByReferences, threadBySubject, type ThreadedMessage } from '../../message/threads.ts'
import { bad, ok } from '../../wire/response.ts'
import { parseSearchCriteria } from '../../wire/search-keys.ts'
import type { Tokens } from '../../wire/tokens.ts'
import { badArguments } from '../arguments.ts'
import { findMessages, readHeader, searchFaults } from '../find-messages.ts'
import type { Outcome } from '../outcome.ts'
import type { SessionState } from '../state.ts'
import type { NumberedMessage } from '../view.ts'
import type { Naming } from './message-set.ts'
import { firstField, sentMs } from './sort.ts'

export function thread(state: SessionState, args: Tokens): Promise<Outcome> {
  return threadMessages(state, args, 'number')
}

export function uidThread(state: SessionState, args: Tokens): Promise<Outcome> {
  return threadMessages(state, args, 'uid')
}

/** `thread = ["UID" SP] "THREAD" SP thread-alg SP search-criteria` */
async function threadMessages(state: SessionState, args: Tokens, naming: Naming): Promise<Outcome> {
  const algorithm = args.space() ? args.atom()?.toUpperCase() : undefined
  if (algorithm === undefined) return badArguments
  if (algorithm !== 'ORDEREDSUBJECT' && algorithm !== 'REFERENCES') return bad('Algorithm is not known')
  const parsed = parseSearchCriteria(args)
  if (typeof parsed === 'string') return searchFaults[parsed]
  const { messages: found } = await findMessages(state, parsed)
  const messages: ThreadedMessage[] = []
  for (const message of found) {
    await state.room()
    await state.tellProgress(messages.length, found.length)
    messages.push(threaded(message, (await readHeader(state, message)) ?? '', naming, state))
  }
  const threads = await state.inTurns(
    algorithm === 'REFERENCES' ? threadByReferences(messages, state.limits) : threadBySubject(messages),
  )
  const text = await state.inTurns(encodeThreads(threads))
  state.write(text === '' ? '* THREAD\r\n' : `* THREAD ${text}\r\n`)
  return ok('Thread completed')
}

function threaded(
  { number, record }: NumberedMessage,
  header: string,
  naming: Naming,
  { limits }: SessionState,
): ThreadedMessage {
  const { text, isReply } = baseSubject(firstField(header, 'subject'))
  const references = messageIds(firstField(header, 'references'), limits.maxReferences)
  const [messageId] = messageIds(firstField(header, 'message-id'), 1)
  return {
    number: naming === 'uid' ? record.uid : number,
    sentMs: sentMs(header, record.internalDate),
    subject: casemap(text.slice(0, limits.maxSortKeyLength)),
    isReply,
    ...(messageId === undefined ? {} : { messageId }),
    // RFC 5256 section 3: without References, the first id of In-Reply-To.
    references:
      references.length > 0
        ? references
        : messageIds(firstField(header, 'in-reply-to'), limits.maxReferences).slice(0, 1),
  }
}
