import type { StoreOutcome } from '@postern/core'
import type { MaildirStore } from '@postern/maildir'
import type { LocalMailbox } from './table-router.ts'

/** Who has an account; read anew whenever the accounts file changed. */
export interface AccountDirectory {
  has(account: string): Promise<boolean>
  /** The account that stands first. */
  first(): Promise<string | undefined>
}

/**
 * The account whose mail a local mailbox is. Exact bytes first; then, since hardly anybody means two people by `Ann` and
 * `ann` (RFC 5321 section 2.4 leaves it to the receiving host), without ASCII case. Postmaster is always somebody
 * (RFC 5321 section 4.5.1): the first account, when no account has the name.
 */
export async function accountFor(
  directory: AccountDirectory,
  { localPart, domain }: LocalMailbox,
): Promise<string | undefined> {
  const exact = `${localPart}@${domain}`
  if (await directory.has(exact)) return exact
  const folded = `${localPart.replaceAll(/[A-Z]/g, (letter) => letter.toLowerCase())}@${domain}`
  if (folded !== exact && (await directory.has(folded))) return folded
  return folded === `postmaster@${domain}` ? directory.first() : undefined
}

/** A store in which every account of the directory has its folders: they are made when they are first needed. */
export function withFolders(store: MaildirStore): MaildirStore {
  const ready = async (account: string): Promise<StoreOutcome<void>> =>
    (await store.exists(account)) ? { ok: true, value: undefined } : store.createAccount(account)
  return {
    ...(store.can === undefined ? {} : { can: store.can }),
    exists: (account) => store.exists(account),
    createAccount: (account) => store.createAccount(account),
    notify: (account, mailbox) => store.notify(account, mailbox),
    close: () => store.close(),
    openAccount: async (account) => {
      await ready(account)
      return store.openAccount(account)
    },
    deliver: async (account, mailbox, message) => {
      const made = await ready(account)
      return made.ok ? store.deliver(account, mailbox, message) : made
    },
  }
}
