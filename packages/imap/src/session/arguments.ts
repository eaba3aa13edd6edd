import type { Tokens } from '../wire/tokens.ts'
import { decodeMailboxName } from '../wire/mailbox-name.ts'
import { bad, no, type Completion } from '../wire/response.ts'

/** A refusal when the grammar of an argument does not fit. */
export const badArguments: Completion = bad('Arguments are missing or malformed')

/** Commands without arguments: the name and nothing more. */
export function noArguments(args: Tokens): Completion | undefined {
  return args.isAtEnd ? undefined : bad('No arguments are expected')
}

/** `SP mailbox`: the name in Unicode, or the refusal. */
export function mailboxArgument(args: Tokens): { readonly name: string } | { readonly refusal: Completion } {
  const text = args.space() ? args.astring() : undefined
  if (text === undefined) return { refusal: badArguments }
  return mailboxNamed(text, args.limits.maxMailboxNameBytes)
}

/** A name as it was sent, in Unicode, or the refusal. */
export function mailboxNamed(
  text: string,
  maxBytes: number,
): { readonly name: string } | { readonly refusal: Completion } {
  const name = text.length > maxBytes ? undefined : decodeMailboxName(text)
  return name === undefined || name === '' ? { refusal: no('Not a name for a mailbox', 'CANNOT') } : { name }
}
