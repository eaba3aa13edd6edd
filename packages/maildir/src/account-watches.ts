/*
 * Watches on mailboxes that nobody has open, and on the names of an account's mailboxes (NOTIFY, RFC 5465). Sessions that
 * watch the same share one. Nothing of a mailbox is kept in memory for it: who is hinted asks for its status.
 */
import type { MailboxPlace, StoreContext } from './context.ts'
import { subscriptionsName } from './subscriptions.ts'
import { ChangeWatch, messageFolders } from './watch.ts'

export class AccountWatches {
  readonly #context: StoreContext
  readonly #watches = new Map<string, ChangeWatch>()

  constructor(context: StoreContext) {
    this.#context = context
  }

  /** @returns what ends it; `undefined` when no more can be watched. */
  mailbox({ account, mailbox, path }: MailboxPlace, onHint: () => void): (() => void) | undefined {
    return this.#add(keyOf(account, mailbox), messageFolders(path), onHint)
  }

  /** Names of mailboxes begin with a dot; what else changes in that folder is of INBOX. */
  list(account: string, maildir: string, onHint: () => void): (() => void) | undefined {
    return this.#add(keyOf(account, ''), [maildir], onHint, isOfList)
  }

  /** A process of ours changed the mailbox. */
  hint(account: string, mailbox: string): void {
    this.#watches.get(keyOf(account, mailbox))?.hint()
  }

  close(): void {
    for (const watch of this.#watches.values()) watch.close()
    this.#watches.clear()
  }

  #add(
    key: string,
    folders: readonly string[],
    onHint: () => void,
    isMeant?: (name: string) => boolean,
  ): (() => void) | undefined {
    const { disk, limits } = this.#context
    let watch = this.#watches.get(key)
    if (watch === undefined) {
      if (this.#watches.size >= limits.maxNotifiedMailboxes) return undefined
      watch = new ChangeWatch(disk, limits, folders, isMeant)
      this.#watches.set(key, watch)
    }
    const used = watch
    const end = used.add(onHint)
    return () => {
      end()
      if (!used.isUsed && this.#watches.get(key) === used) this.#watches.delete(key)
    }
  }
}

const isOfList = (name: string): boolean => name.startsWith('.') || name === subscriptionsName

const keyOf = (account: string, mailbox: string): string => `${account}\0${mailbox}`
