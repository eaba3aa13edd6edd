/* CREATE, DELETE, RENAME, SUBSCRIBE, UNSUBSCRIBE, NAMESPACE: RFC 3501 sections 6.3.3 to 6.3.7, RFC 2342. */
import type { SpecialUse } from '@postern/core'
import { hierarchyDelimiter, isCreatableName } from '../../wire/mailbox-name.ts'
import { no, ok, type Completion } from '../../wire/response.ts'
import type { Tokens } from '../../wire/tokens.ts'
import { badArguments, mailboxArgument, noArguments } from '../arguments.ts'
import { refusedByStore, type Outcome } from '../outcome.ts'
import type { SessionState } from '../state.ts'
import { encodeRespelled } from './list.ts'

const notCreatable: Completion = no('Not a name for a mailbox', 'CANNOT')

/**
 * A delimiter at the end announces children, and is no part of the name (section 6.3.3). RFC 6154 section 3 adds
 * `SP "(" "USE" SP "(" [use-attr *(SP use-attr)] ")" ")"`.
 */
export async function create(state: SessionState, args: Tokens): Promise<Outcome> {
  const argument = mailboxArgument(state, args)
  const uses = args.isAtEnd ? [] : parseUses(args)
  if (uses === undefined || !args.isAtEnd) return badArguments
  if ('refusal' in argument) return argument.refusal
  const name = argument.name.endsWith(hierarchyDelimiter) ? argument.name.slice(0, -1) : argument.name
  if (name === 'INBOX') return no('INBOX is always there', 'ALREADYEXISTS')
  if (!isCreatableName(name)) return notCreatable
  const canUse = state.can('special-use')
  const use = specialUses.find((known) => known.toLowerCase() === uses[0]?.toLowerCase())
  // One use for a mailbox, and one mailbox for a use, is what clients can work with.
  if (uses.length > 1 || (uses.length === 1 && (use === undefined || !canUse))) {
    return no('No such use for a mailbox', 'USEATTR')
  }
  const created = await state.account.create(name, ...(use === undefined ? [] : [use]))
  if (!created.ok) return refusedByStore(created.refusal)
  state.write(encodeRespelled(name, argument.spelled))
  await state.notifications?.passOver([name])
  if (!state.can('object-ids')) return ok('Mailbox created')
  // RFC 8474 section 4.1
  const made = await state.account.status(name)
  const mailboxId = made.ok ? made.value.mailboxId : undefined
  return mailboxId === undefined ? ok('Mailbox created') : ok('Mailbox created', `MAILBOXID (${mailboxId})`)
}

const specialUses: readonly SpecialUse[] = ['\\Archive', '\\Drafts', '\\Junk', '\\Sent', '\\Trash']

function parseUses(args: Tokens): readonly string[] | undefined {
  const parameters = args.space()
    ? args.list(() => (args.word('USE') && args.space() ? args.list(() => parseUse(args)) : undefined))
    : undefined
  return parameters?.length === 1 ? parameters[0] : undefined
}

/** `use-attr = "\" atom` and its like. */
function parseUse(args: Tokens): string | undefined {
  const name = args.take('\\') ? args.atom() : undefined
  return name === undefined ? undefined : `\\${name}`
}

export async function deleteMailbox(state: SessionState, args: Tokens): Promise<Outcome> {
  const argument = mailboxArgument(state, args)
  if (!args.isAtEnd) return badArguments
  if ('refusal' in argument) return argument.refusal
  if (argument.name === 'INBOX') return no('INBOX cannot be deleted', 'CANNOT')
  // This session's own handle would be left on a mailbox that is gone. Others may have renamed it.
  if (state.selected !== undefined) await state.look()
  if (state.selected?.mailbox.name === argument.name) await state.unselect()
  const deleted = await state.account.delete(argument.name)
  if (!deleted.ok) return refusedByStore(deleted.refusal)
  state.write(encodeRespelled(argument.name, argument.spelled, ['\\NonExistent']))
  await state.notifications?.passOver([argument.name])
  return ok('Mailbox deleted')
}

/** RENAME of INBOX moves its messages and leaves it empty (section 6.3.5); the store does that. */
export async function rename(state: SessionState, args: Tokens): Promise<Outcome> {
  const from = mailboxArgument(state, args)
  if ('refusal' in from) return from.refusal
  const to = mailboxArgument(state, args)
  if (!args.isAtEnd) return badArguments
  if ('refusal' in to) return to.refusal
  if (to.name === 'INBOX') return no('INBOX is always there', 'ALREADYEXISTS')
  if (!isCreatableName(to.name)) return notCreatable
  const renamed = await state.account.rename(from.name, to.name)
  if (!renamed.ok) return refusedByStore(renamed.refusal)
  const isRespelled = from.spelled !== undefined || to.spelled !== undefined
  state.write(encodeRespelled(to.name, isRespelled ? (from.spelled ?? from.name) : undefined))
  await state.notifications?.passOver([from.name, to.name])
  return ok('Mailbox renamed')
}

export function subscribe(state: SessionState, args: Tokens): Promise<Outcome> {
  return setSubscribed(state, args, true)
}

export function unsubscribe(state: SessionState, args: Tokens): Promise<Outcome> {
  return setSubscribed(state, args, false)
}

async function setSubscribed(state: SessionState, args: Tokens, isSubscribed: boolean): Promise<Outcome> {
  const argument = mailboxArgument(state, args)
  if (!args.isAtEnd) return badArguments
  if ('refusal' in argument) return argument.refusal
  const changed = await state.account.subscribe(argument.name, isSubscribed)
  if (!changed.ok) return refusedByStore(changed.refusal)
  await state.notifications?.passOver([argument.name])
  return ok(isSubscribed ? 'Subscribed' : 'Unsubscribed')
}

/** RFC 2342: one personal namespace, no other users', no shared ones. */
export function namespace(state: SessionState, args: Tokens): Outcome {
  const refusal = noArguments(args)
  if (refusal !== undefined) return refusal
  state.write(`* NAMESPACE (("" "${hierarchyDelimiter}")) NIL NIL\r\n`)
  return ok('Namespace completed')
}
