import type { MailboxPlace, StoreContext } from './context.ts'
import type { KnownMessages } from './known-messages.ts'
import type { SubFolders } from './sub-folders.ts'

/** What the steps of a look at one mailbox share. */
export interface MailboxParts {
  readonly place: MailboxPlace
  readonly context: StoreContext
  readonly known: KnownMessages
  readonly subFolders: SubFolders
  /** Runs `work` while this process holds the mailbox's lock file. */
  readonly locked: <T>(work: () => Promise<T>) => Promise<T>
}
