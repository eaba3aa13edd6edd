import type { FolderSync } from './durable.ts'
import type { UniqueNames } from './filename.ts'
import type { InPlace } from './in-place.ts'
import type { KeptFiles } from './kept-files.ts'
import type { MaildirLimits } from './limits.ts'
import type { LockFiles } from './lock.ts'
import type { NotesInMemory } from './mailbox-notes.ts'
import type { UsageCounts } from './quota.ts'
import type { Turns } from './turns.ts'
import type { Awaitable } from '@postern/core'
import type { Disk, MaildirProblem, QuotaLimits } from './options.ts'

/** What every part of one store shares. */
export interface StoreContext {
  readonly notesInMemory: NotesInMemory
  readonly disk: Disk
  /** For changes. */
  readonly inPlace: InPlace
  /** For reading what the kernel has in its memory: that goes on in place while changes wait for the file system's journal. */
  readonly readInPlace: InPlace
  /** Journals between two changes. */
  readonly openJournals: KeptFiles
  /** Of those who write snapshots: when many sessions leave at once, each would hold a block of its own. */
  readonly snapshots: Turns
  readonly limits: MaildirLimits
  readonly locks: LockFiles
  readonly folders: FolderSync
  readonly names: UniqueNames
  readonly now: () => Date
  readonly counts: UsageCounts
  readonly quotaOf: (account: string) => Awaitable<QuotaLimits | undefined>
  readonly report: (problem: MaildirProblem) => void
}

/** One mailbox's place. */
export interface MailboxPlace {
  readonly account: string
  readonly mailbox: string
  /** Real path of the folder with `cur`, `new` and `tmp`. */
  readonly path: string
  /** Real path of the account's Maildir, the folder of INBOX. */
  readonly maildir: string
}
