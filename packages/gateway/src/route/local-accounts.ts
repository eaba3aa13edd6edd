import type { StoreOutcome } from '@postern/core'
import type { MaildirStore } from '@postern/maildir'
import { storeAround } from '../destination/store-around.ts'
import { foldMailbox, type LocalMailbox } from './local-mailbox.ts'

/** Who has an account; read anew whenever the accounts file changed. */
export interface AccountDirectory {
  has(account: string): Promise<boolean>
  /** The account that gets the mail of an address which is no account's name. */
  ownerOf?(address: string): Promise<string | undefined>
  /** The account that stands first. */
  first(): Promise<string | undefined>
}

/** Where the mail of a local mailbox goes. */
export interface LocalRecipient {
  readonly account: string
  /** The mailbox that the address asks for. When there is none of this name, it is INBOX. */
  readonly folder?: string
}

/**
 * The account whose mail a local mailbox is, by its name or one of its aliases. Exact bytes first, then folded. Postmaster is
 * always somebody (RFC 5321 section 4.5.1): the first account, when no account has the name. What is nobody's as a whole may
 * be a sub-address (RFC 5233): `ann+folder`.
 *
 * @param separator - between the two; without it there are no sub-addresses.
 */
export async function accountFor(
  directory: AccountDirectory,
  { localPart, domain }: LocalMailbox,
  separator?: string,
): Promise<LocalRecipient | undefined> {
  const account = await wholeAccount(directory, localPart, domain)
  if (account !== undefined) return { account }
  const at = separator === undefined ? -1 : localPart.indexOf(separator)
  if (at > 0) {
    const owner = await wholeAccount(directory, localPart.slice(0, at), domain)
    const detail = localPart.slice(at + 1)
    if (owner !== undefined) return isFolderName(detail) ? { account: owner, folder: detail } : { account: owner }
  }
  if (localPart.toLowerCase() !== 'postmaster') return undefined
  const first = await directory.first()
  return first === undefined ? undefined : { account: first }
}

async function wholeAccount(
  directory: AccountDirectory,
  localPart: string,
  domain: string,
): Promise<string | undefined> {
  const exact = `${localPart}@${domain}`
  const folded = foldMailbox({ localPart, domain })
  for (const name of folded === exact ? [exact] : [exact, folded]) {
    if (await directory.has(name)) return name
    const owner = await directory.ownerOf?.(name)
    if (owner !== undefined) return owner
  }
  return undefined
}

/** One level, spelled plainly: who writes an address chooses no path. */
function isFolderName(detail: string): boolean {
  return /^[\p{L}\p{N}][\p{L}\p{N}_-]{0,63}$/u.test(detail)
}

/** A store in which every account of the directory has its folders: they are made when they are first needed. */
export function withFolders(store: MaildirStore): MaildirStore {
  const ready = async (account: string): Promise<StoreOutcome<void>> =>
    (await store.exists(account)) ? { ok: true, value: undefined } : store.createAccount(account)
  return storeAround(store, {
    openAccount: async (account) => {
      await ready(account)
      return store.openAccount(account)
    },
    deliver: async (account, mailbox, message) => {
      // Mostly it is there, and need not be asked for at each message.
      const opened = await store.deliver(account, mailbox, message)
      if (opened.ok || opened.refusal !== 'no-such-mailbox') return opened
      // By now another delivery may have made it.
      const made = await ready(account)
      return made.ok ? store.deliver(account, mailbox, message) : made
    },
  })
}
