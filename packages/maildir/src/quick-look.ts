/*
 * Whether anything of a mailbox changed since it was looked at: five questions that the kernel answers from its memory.
 * They are all that a NOOP costs while nothing happens. On file systems of other machines (NFS, SMB, FUSE) the answers may
 * be seconds old; there the files are opened and read each time, as ADR 0026 tells.
 *
 * The UID list and the journal grow with each change, or are other files after it; but a writer that has appended may not
 * have written the header yet, and does so in the same tick of the file system's clock. So what was read counts as known
 * only when the file's time was past by then, or when it was looked at under the lock, where nobody else writes.
 */
import type { BigIntStats } from 'node:fs'
import type { MailboxPlace } from './context.ts'
import { journalName } from './journal.ts'
import { keywordsName } from './keywords.ts'
import type { SubFolder, SubFolders } from './sub-folders.ts'
import { uidListName } from './uidlist.ts'

const fileNames = [uidListName, journalName, keywordsName]
const keywordsAt = 2

/** What tells one state of a mailbox from the next. */
export interface MailboxStamp {
  /** Of `fileNames`; `undefined` is a file that is not there. */
  readonly files: readonly (BigIntStats | undefined)[]
  readonly new: BigIntStats
  readonly cur: BigIntStats
  /** No writer of the files is between a record and its header, in a tick of the clock that is not over. */
  readonly isPast: boolean
}

export class QuickLook {
  readonly #place: MailboxPlace
  readonly #subFolders: SubFolders
  readonly #files: readonly string[]
  #seen: MailboxStamp | undefined

  constructor(place: MailboxPlace, subFolders: SubFolders) {
    this.#place = place
    this.#subFolders = subFolders
    this.#files = fileNames.map((name) => `${place.path}/${name}`)
  }

  /** How the mailbox is now; `undefined` when that cannot be asked in place. */
  take(): MailboxStamp | undefined {
    const { quick } = this.#subFolders
    if (!quick.isLocal) return undefined
    const cur = quick.of(`${this.#place.path}/cur`)
    const fresh = quick.of(`${this.#place.path}/new`)
    if (cur === undefined || fresh === undefined) return undefined
    const files = this.#files.map((path) => quick.of(path))
    const isPast = files.every((file) => file === undefined || this.#subFolders.isTimeSettled(file.mtimeNs))
    return { files, new: fresh, cur, isPast }
  }

  /**
   * Everything was looked at after `stamp` was taken. Files that are as they were known before stay known, however new they
   * are: a mailbox that is changed again and again is otherwise not known again before a pause.
   */
  keep(stamp: MailboxStamp | undefined): void {
    const isKnown = stamp !== undefined && (stamp.isPast || (this.#seen !== undefined && this.#areFilesSame(stamp)))
    this.#seen = isKnown ? stamp : undefined
  }

  /** Nothing changed since the last look. */
  isAsSeen(): boolean {
    const now = this.#seen === undefined ? undefined : this.take()
    return now !== undefined && this.#areFilesSame(now) && this.#isSame('new', now) && this.#isSame('cur', now)
  }

  /**
   * Around our own changes under the lock, which keeps all others of ours from the UID list and the journal: when they were
   * as we knew them before, we know them afterwards. The table of keywords is not among what changes here, and other
   * programs write it without our lock.
   *
   * @param work - is told whether they are.
   */
  async changing<T>(work: (isAsSeen: boolean) => Promise<T>): Promise<T> {
    const before = this.#seen === undefined ? undefined : this.take()
    const isAsSeen = before !== undefined && this.#areFilesSame(before)
    try {
      return await work(isAsSeen)
    } finally {
      const after = isAsSeen ? this.take() : undefined
      this.#seen = after && { ...after, files: [...after.files.slice(0, keywordsAt), before?.files[keywordsAt]] }
    }
  }

  /** The time of a folder may have moved by our own changes: `SubFolders` knows. */
  #isSame(folder: SubFolder, now: MailboxStamp): boolean {
    return now[folder].ino === this.#seen?.[folder].ino && !this.#subFolders.mustRead(folder, now[folder].mtimeNs)
  }

  #areFilesSame(now: MailboxStamp): boolean {
    return now.files.every((file, at) => {
      const seen = this.#seen?.files[at]
      return file?.ino === seen?.ino && file?.size === seen?.size && file?.mtimeNs === seen?.mtimeNs
    })
  }
}
