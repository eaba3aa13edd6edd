import type { Flag, MessageRecord } from '@postern/core'
import { encodeFlags, parseFlag, parseFlagList, sameFlags, settableFlags } from '../../wire/flags.ts'
import { parseModseq } from '../../wire/modseq.ts'
import { bad, no, ok, type ResponseCode } from '../../wire/response.ts'
import { encodeNumbers } from '../../wire/sequence-set.ts'
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
  const unchangedSince = parseUnchangedSince(args)
  const change = unchangedSince === 'malformed' ? undefined : parseFlagChange(args)
  if (change === undefined || unchangedSince === 'malformed' || !args.isAtEnd) return badArguments
  if (unchangedSince !== undefined) {
    if (!state.can('modseq')) return badArguments
    state.enableModseq()
  }
  if (selected.isReadOnly) return no('Mailbox is read-only')
  const flags = settableFlags(change.flags, selected.mailbox.keywords(), state.limits)
  if (flags === 'not-settable') return bad('A client cannot set this flag')
  if (flags === 'limit') return no('Too many keywords', 'LIMIT')
  if (set.messages.length === 0) return ok('Store completed')
  const uids = set.messages.map(({ record }) => record.uid)
  const changed = await selected.mailbox.setFlags(uids, {
    op: change.op,
    flags,
    ...(unchangedSince === undefined ? {} : { unchangedSince }),
  })
  if (!changed.ok) return refusedByStore(changed.refusal)
  // A new keyword is told with FLAGS before a message has it.
  state.write(selected.keywordsResponse())
  const now = new Map(changed.value.messages.map((record) => [record.uid, record]))
  for (const message of set.messages) {
    const record = now.get(message.record.uid)
    if (record === undefined) continue
    if (change.isSilent) {
      const isAsExpected = updateSilently(selected, message.record, record, { ...change, flags })
      // RFC 7162 section 3.1.3: the client cannot work out the modification sequence; flags that it can are left out.
      if (isAsExpected && state.enabled.has('CONDSTORE')) state.write(response(state, message, record, naming, false))
    } else {
      selected.view.update(record)
      state.write(response(state, message, record, naming, true))
    }
    await state.room()
  }
  // What others changed before has lower modification sequences: the client must not take these for all there was.
  if (state.enabled.has('CONDSTORE')) await state.look()
  const { modified } = changed.value
  const isComplete = now.size + modified.length === uids.length
  if (modified.length === 0) return isComplete ? ok('Store completed') : someGone
  const kept = new Set(modified)
  const names = set.messages.filter(({ record }) => kept.has(record.uid))
  const code: ResponseCode = `MODIFIED ${encodeNumbers(names.map(({ number, record }) => (naming === 'uid' ? record.uid : number)))}`
  if (isComplete || naming === 'uid') return ok('Conditional STORE failed for some', code)
  return no('Some of the messages are gone', code)
}

/** `store-modifiers = SP "(" "UNCHANGEDSINCE" SP mod-sequence-valzer ")"` (RFC 7162 section 3.1.3) */
function parseUnchangedSince(args: Tokens): bigint | 'malformed' | undefined {
  const start = args.at
  if (!args.space() || args.text[args.at] !== '(') {
    args.at = start
    return undefined
  }
  const modifiers = args.list(() => (args.word('UNCHANGEDSINCE') && args.space() ? parseModseq(args) : undefined))
  const [modseq] = modifiers ?? []
  return modseq === undefined || modifiers?.length !== 1 ? 'malformed' : modseq
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

function response(
  state: SessionState,
  { number }: NumberedMessage,
  record: MessageRecord,
  naming: Naming,
  tellsFlags: boolean,
): string {
  const items: string[] = []
  // RFC 7162 section 3.2.4: both are told from the first use of CONDSTORE on, not of QRESYNC alone.
  if (naming === 'uid' || state.enabled.has('CONDSTORE')) items.push(`UID ${record.uid}`)
  if (tellsFlags) items.push(`FLAGS ${encodeFlags(record.flags, state.mailbox.recent().has(record.uid))}`)
  if (state.enabled.has('CONDSTORE')) items.push(`MODSEQ (${record.modseq ?? 0n})`)
  return `* ${number} FETCH (${items.join(' ')})\r\n`
}

/**
 * `.SILENT` keeps back what the client can work out by itself; what others changed besides is still news.
 *
 * @returns whether the flags are what the client works out.
 */
function updateSilently(
  selected: SelectedMailbox,
  before: MessageRecord,
  now: MessageRecord,
  { op, flags }: FlagChange,
): boolean {
  const expected =
    op === 'replace'
      ? flags
      : op === 'add'
        ? [...before.flags, ...flags.filter((flag) => !before.flags.includes(flag))]
        : before.flags.filter((flag) => !flags.includes(flag))
  const isAsExpected = sameFlags(expected, now.flags)
  if (isAsExpected) selected.view.update(now)
  else selected.view.alter(now)
  return isAsExpected
}
