import { parseDateTime } from '../../wire/date-time.ts'
import { parseFlagList, settableFlags } from '../../wire/flags.ts'
import { bad, no, ok, type Completion } from '../../wire/response.ts'
import type { Tokens } from '../../wire/tokens.ts'
import { CrlfNormalizer } from '../../message/line-ends.ts'
import { badArguments, mailboxNamed } from '../arguments.ts'
import { refusedAsTarget, type IncomingMessage, type Outcome } from '../outcome.ts'
import type { SessionState } from '../state.ts'

/** A whole APPEND line without a literal at its end holds no message. */
export function append(_state: SessionState, _args: Tokens): Outcome {
  return badArguments
}

/**
 * RFC 3501 section 6.3.11: `append = "APPEND" SP mailbox [SP flag-list] [SP date-time] SP literal`, up to the literal.
 * Everything that can be refused is refused before the client sends the message.
 *
 * @returns `'argument'` when the announced literal is not the message yet, but the name of the mailbox.
 */
export async function beginAppend(
  state: SessionState,
  args: Tokens,
  bytes: number,
): Promise<IncomingMessage | Completion | 'argument'> {
  if (!args.space()) return badArguments
  if (args.isAtEnd) return 'argument'
  const mailbox = args.astring()
  if (mailbox === undefined || !args.space()) return badArguments
  const flagList = args.text[args.at] === '(' ? parseFlagList(args) : []
  if (flagList === undefined || (args.text[args.at] === ' ' && !args.space())) return badArguments
  const dateText = args.text[args.at] === '"' ? args.string() : undefined
  if (dateText !== undefined && !args.space()) return badArguments
  const internalDate = dateText === undefined ? state.options.now() : parseDateTime(dateText)
  if (internalDate === undefined || !args.isAtEnd || !args.text.endsWith(' ')) return badArguments
  const argument = mailboxNamed(mailbox, state.limits.maxMailboxNameBytes)
  if ('refusal' in argument) return argument.refusal
  if (bytes > state.options.maxAppendBytes) return no('Message is too big', 'TOOBIG')
  if (bytes === 0) return no('A message cannot be empty', 'CANNOT')
  const flags = settableFlags(flagList, [], state.limits)
  if (flags === 'unknown') return bad('No such system flag')
  if (flags === 'limit') return no('Too many keywords', 'LIMIT')
  const account = state.signedIn?.principal.account ?? ''
  const begun = await state.options.store.deliver(account, argument.name, { flags, internalDate, bytes })
  if (!begun.ok) return refusedAsTarget(begun.refusal)
  const writer = begun.value
  if (state.isOver) {
    await writer.abort()
    return no('The connection is gone')
  }
  const lineEnds = new CrlfNormalizer()
  return {
    write: (chunk) => writer.write(lineEnds.push(chunk)),
    finish: async () => {
      const committed = await writer.commit()
      if (!committed.ok) {
        await writer.abort()
        return refusedAsTarget(committed.refusal)
      }
      const { value } = committed
      return value === undefined
        ? ok('Append completed')
        : ok('Append completed', `APPENDUID ${value.uidValidity} ${value.uid}`)
    },
    abort: () => writer.abort(),
  }
}
