import type { Flag, MessageRecord } from '@postern/core'
import { encodeFlags, parseFlag, parseFlagList, sameFlags, settableFlags } from '../../wire/flags.ts'
import { bad, no, ok } from '../../wire/response.ts'
import type { Tokens } from '../../wire/tokens.ts'
import { badArguments } from '../arguments.ts'
import { refusedByStore, type Outcome } from '../outcome.ts'
import type { SelectedMailbox } from '../selected.ts'
import type { SessionState } from '../state.ts'
import type { NumberedMessage } from '../view.ts'
import { messageSet, someGone, type Naming } from './message-set.ts'

interface FlagChange {
  readonly op: 'add' | 'remove' | 'replace'
  readonly isSilent: boolean
  readonly flags: readonly Flag[]
}

/** RFC 3501 section 6.4.6. */
export function store(state: SessionState, args: Tokens): Promise<Outcome> {
  return storeFlags(state, args, 'number')
}

/** RFC 3501 section 6.4.8. */
export function uidStore(state: SessionState, args: Tokens): Promise<Outcome> {
  return storeFlags(state, args, 'uid')
}

async function storeFlags(state: SessionState, args: Tokens, naming: Naming): Promise<Outcome> {
  const selected = state.mailbox
  const set = messageSet(selected, args, naming)
  if ('refusal' in set) return set.refusal
  const change = parseFlagChange(args)
  if (change === undefined || !args.isAtEnd) return badArguments
  if (selected.isReadOnly) return no('Mailbox is read-only')
  const flags = settableFlags(change.flags, selected.mailbox.keywords(), state.limits)
  if (flags === 'unknown') return bad('No such system flag')
  if (flags === 'limit') return no('Too many keywords', 'LIMIT')
  if (set.messages.length === 0) return ok('Store completed')
  const uids = set.messages.map(({ record }) => record.uid)
  const changed = await selected.mailbox.setFlags(uids, { op: change.op, flags })
  if (!changed.ok) return refusedByStore(changed.refusal)
  // A new keyword is told with FLAGS before a message has it.
  state.write(selected.keywordsResponse())
  const now = new Map(changed.value.messages.map((record) => [record.uid, record]))
  for (const message of set.messages) {
    const record = now.get(message.record.uid)
    if (record === undefined) continue
    if (change.isSilent) {
      updateSilently(selected, message.record, record, { ...change, flags })
    } else {
      selected.view.update(record)
      state.write(flagsResponse(selected, message, record, naming))
      await state.room()
    }
  }
  return now.size === uids.length ? ok('Store completed') : someGone(naming)
}

/** `store-att-flags = (["+" / "-"] "FLAGS" [".SILENT"]) SP (flag-list / (flag *(SP flag)))` */
function parseFlagChange(args: Tokens): FlagChange | undefined {
  if (!args.space()) return undefined
  const op = args.take('+') ? 'add' : args.take('-') ? 'remove' : 'replace'
  const isSilent = args.word('FLAGS.SILENT')
  if ((!isSilent && !args.word('FLAGS')) || !args.space()) return undefined
  if (args.text[args.at] === '(') {
    const flags = parseFlagList(args)
    return flags === undefined ? undefined : { op, isSilent, flags }
  }
  const flags: Flag[] = []
  do {
    const flag = parseFlag(args)
    if (flag === undefined || flags.length >= args.limits.maxListElements) return undefined
    flags.push(flag)
  } while (args.space())
  return { op, isSilent, flags }
}

function flagsResponse(
  selected: SelectedMailbox,
  { number }: NumberedMessage,
  record: MessageRecord,
  naming: Naming,
): string {
  const flags = encodeFlags(record.flags, selected.recent().has(record.uid))
  return `* ${number} FETCH (${naming === 'uid' ? `UID ${record.uid} ` : ''}FLAGS ${flags})\r\n`
}

/** `.SILENT` keeps back what the client can work out by itself; what others changed besides is still news. */
function updateSilently(
  selected: SelectedMailbox,
  before: MessageRecord,
  now: MessageRecord,
  { op, flags }: FlagChange,
): void {
  const expected =
    op === 'replace'
      ? flags
      : op === 'add'
        ? [...before.flags, ...flags.filter((flag) => !before.flags.includes(flag))]
        : before.flags.filter((flag) => !flags.includes(flag))
  if (sameFlags(expected, now.flags)) selected.view.update(now)
  else selected.view.alter(now)
}
