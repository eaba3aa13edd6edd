import type { Tokens } from '../wire/tokens.ts'
import { decodeMailboxName, encodeMailboxName } from '../wire/mailbox-name.ts'
import { bad, no, type Completion } from '../wire/response.ts'
import type { SessionState } from './state.ts'

/** A refusal when the grammar of an argument does not fit. */
export const badArguments: Completion = bad('Arguments are missing or malformed')

/** Commands without arguments: the name and nothing more. */
export function noArguments(args: Tokens): Completion | undefined {
  return args.isAtEnd ? undefined : bad('No arguments are expected')
}

type MailboxName =
  /** `spelled`: as it was sent, where that is another spelling of `name`, to be told to who enabled IMAP4rev2. */
  { readonly name: string; readonly spelled?: string } | { readonly refusal: Completion }

/** `SP mailbox`: the name in Unicode, or the refusal. */
export function mailboxArgument(state: SessionState, args: Tokens): MailboxName {
  const text = args.space() ? args.astring() : undefined
  return text === undefined ? { refusal: badArguments } : mailboxNamed(state, text)
}

/** A name as it was sent, in Unicode, or the refusal. */
export function mailboxNamed({ limits, isRev2, isUtf8 }: SessionState, text: string): MailboxName {
  const name = text.length > limits.maxMailboxNameBytes ? undefined : decodeMailboxName(text, isUtf8)
  if (name === undefined || name === '') return { refusal: no('Not a name for a mailbox', 'CANNOT') }
  if (!isRev2 || encodeMailboxName(name, isUtf8) === text) return { name }
  return { name, spelled: Buffer.from(text, 'latin1').toString('utf8') }
}
