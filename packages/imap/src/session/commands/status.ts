import type { MailboxStatus } from '@postern/core'
import { encodeMailbox, ok } from '../../wire/response.ts'
import type { Tokens } from '../../wire/tokens.ts'
import { badArguments, mailboxArgument } from '../arguments.ts'
import { refusedByStore, type Outcome } from '../outcome.ts'
import type { SessionState } from '../state.ts'

/**
 * RFC 3501 section 6.3.10, RFC 9051 section 6.3.11 with DELETED, SIZE of RFC 8438, APPENDLIMIT of RFC 7889, HIGHESTMODSEQ
 * of RFC 7162, MAILBOXID of RFC 8474.
 */
const statusItems = [
  'MESSAGES',
  'RECENT',
  'UIDNEXT',
  'UIDVALIDITY',
  'UNSEEN',
  'DELETED',
  'DELETED-STORAGE',
  'SIZE',
  'APPENDLIMIT',
  'HIGHESTMODSEQ',
  'MAILBOXID',
] as const

export type StatusItem = (typeof statusItems)[number]

/** `status = "STATUS" SP mailbox SP "(" status-att *(SP status-att) ")"` */
export async function status(state: SessionState, args: Tokens): Promise<Outcome> {
  const argument = mailboxArgument(state, args)
  const items = args.space() ? parseStatusItems(args) : undefined
  if (items === undefined || !args.isAtEnd) return badArguments
  if ('refusal' in argument) return argument.refusal
  if (items.includes('HIGHESTMODSEQ')) state.enableModseq()
  const found = await state.account.status(argument.name)
  if (!found.ok) return refusedByStore(found.refusal)
  state.write(encodeStatus(state, argument.name, items, found.value))
  return ok('Status completed')
}

export function parseStatusItems(args: Tokens): readonly StatusItem[] | undefined {
  const items = args.list(() => {
    const name = args.atom()?.toUpperCase()
    return statusItems.find((item) => item === name)
  })
  return items?.length === 0 ? undefined : items
}

export function encodeStatus(
  { options, isUtf8 }: SessionState,
  name: string,
  items: readonly StatusItem[],
  found: MailboxStatus,
): string {
  const values: Readonly<Record<StatusItem, number | bigint | string>> = {
    MESSAGES: found.messages,
    RECENT: found.recent,
    UIDNEXT: found.uidNext,
    UIDVALIDITY: found.uidValidity,
    UNSEEN: found.unseen,
    SIZE: found.bytes,
    DELETED: found.deleted,
    'DELETED-STORAGE': found.deletedBytes ?? 0,
    APPENDLIMIT: options.maxAppendBytes,
    HIGHESTMODSEQ: found.highestModseq ?? 0n,
    MAILBOXID: found.mailboxId === undefined ? 'NIL' : `(${found.mailboxId})`,
  }
  return `* STATUS ${encodeMailbox(name, isUtf8)} (${items.map((item) => `${item} ${values[item]}`).join(' ')})\r\n`
}
