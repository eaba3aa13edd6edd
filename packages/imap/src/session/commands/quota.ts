/* GETQUOTA and GETQUOTAROOT (RFC 9208 sections 4.1.1 and 4.1.2). One root, named "", for all mailboxes of an account. */
import type { AccountQuota } from '@postern/core'
import { encodeMailbox, no, ok } from '../../wire/response.ts'
import type { Tokens } from '../../wire/tokens.ts'
import { badArguments, mailboxArgument } from '../arguments.ts'
import { refusedByStore, type Outcome } from '../outcome.ts'
import type { SessionState } from '../state.ts'

/** `getquota = "GETQUOTA" SP quota-root-name` */
export async function getQuota(state: SessionState, args: Tokens): Promise<Outcome> {
  const root = args.space() ? args.astring() : undefined
  if (root === undefined || !args.isAtEnd || !state.can('quota')) return badArguments
  const quota = root === '' ? await state.account.quota?.() : undefined
  if (quota?.ok === false) return refusedByStore(quota.refusal)
  if (quota?.value === undefined) return no('No such quota root', 'NONEXISTENT')
  state.write(encodeQuota(quota.value))
  return ok('Getquota completed')
}

/** `getquotaroot = "GETQUOTAROOT" SP mailbox` */
export async function getQuotaRoot(state: SessionState, args: Tokens): Promise<Outcome> {
  const argument = mailboxArgument(state, args)
  if (!args.isAtEnd || !state.can('quota')) return badArguments
  if ('refusal' in argument) return argument.refusal
  // A name that could be created counts as well in other servers; one that is not there is told as such here.
  const found = await state.account.status(argument.name)
  if (!found.ok) return refusedByStore(found.refusal)
  const quota = await state.account.quota?.()
  if (quota?.ok === false) return refusedByStore(quota.refusal)
  const name = encodeMailbox(argument.name, state.isUtf8)
  const limits = quota?.value
  state.write(limits === undefined ? `* QUOTAROOT ${name}\r\n` : `* QUOTAROOT ${name} ""\r\n${encodeQuota(limits)}`)
  return ok('Getquotaroot completed')
}

/** `quota-response = "QUOTA" SP quota-root-name SP quota-list`; STORAGE counts units of 1024 octets (section 5.1). */
function encodeQuota({ storage, messages }: AccountQuota): string {
  const resources: string[] = []
  // What is used is rounded up and what is allowed down, so that who is told of room has it.
  if (storage !== undefined) {
    resources.push(`STORAGE ${Math.ceil(storage.used / 1024)} ${Math.floor(storage.limit / 1024)}`)
  }
  if (messages !== undefined) resources.push(`MESSAGE ${messages.used} ${messages.limit}`)
  return `* QUOTA "" (${resources.join(' ')})\r\n`
}
