/*
 * Hints that a mailbox may have changed. What this process does itself hints at once; other programs are heard of
 * through the file system's events on `new` and `cur`; and since those can be lost (NFS tells nothing, a queue
 * overflows, the kernel's bound on watches is reached), the times of both folders are looked at now and then. A hint
 * may come for nothing; a lost one only delays.
 */
import { watch, type FSWatcher } from 'node:fs'
import type { MaildirLimits } from './limits.ts'
import type { Disk } from './options.ts'

/** Mailboxes under file system events in this process: bounded by `maxWatchedMailboxes`. */
let watchedMailboxes = 0

/** The folders of a mailbox in which messages come and go. */
export const messageFolders = (path: string): readonly string[] => [`${path}/new`, `${path}/cur`]

export class ChangeWatch {
  readonly #disk: Disk
  readonly #limits: MaildirLimits
  readonly #folders: readonly string[]
  readonly #isMeant: (name: string) => boolean
  readonly #listeners = new Set<() => void>()
  #events: FSWatcher[] = []
  #pending: NodeJS.Timeout | undefined
  #poll: NodeJS.Timeout | undefined
  #times = ''
  #isCounted = false

  /** @param isMeant - whether a name that changed in one of the folders is any news; all are when it is absent. */
  constructor(
    disk: Disk,
    limits: MaildirLimits,
    folders: readonly string[],
    isMeant: (name: string) => boolean = () => true,
  ) {
    this.#disk = disk
    this.#limits = limits
    this.#folders = folders
    this.#isMeant = isMeant
  }

  /** Somebody waits for a hint. */
  get isUsed(): boolean {
    return this.#listeners.size > 0
  }

  add(onHint: () => void): () => void {
    // A listener of its own, so that a function that is given twice is also ended twice.
    const listener = () => {
      onHint()
    }
    this.#listeners.add(listener)
    if (this.#listeners.size === 1) this.#start()
    return () => {
      this.#listeners.delete(listener)
      if (this.#listeners.size === 0) this.close()
    }
  }

  /** Many changes within a moment are one hint. */
  hint(): void {
    if (this.#listeners.size === 0 || this.#pending !== undefined) return
    this.#pending = setTimeout(() => {
      this.#pending = undefined
      for (const listener of this.#listeners) listener()
    }, this.#limits.hintDebounceMs)
    this.#pending.unref()
  }

  close(): void {
    this.#endEvents()
    clearTimeout(this.#pending)
    clearTimeout(this.#poll)
    this.#pending = undefined
    this.#poll = undefined
    this.#listeners.clear()
  }

  #start(): void {
    this.#times = ''
    if (watchedMailboxes < this.#limits.maxWatchedMailboxes) {
      watchedMailboxes += 1
      this.#isCounted = true
      try {
        for (const folder of this.#folders) {
          const events = watch(folder, { persistent: false }, (_event, name) => {
            if (name === null || this.#isMeant(name)) this.hint()
          })
          // The folder is gone, or the kernel gave up: the poll goes on.
          events.on('error', () => {
            this.#endEvents()
          })
          this.#events.push(events)
        }
      } catch {
        // ENOSPC and EMFILE: no watches left.
        this.#endEvents()
      }
    }
    this.#pollSoon()
  }

  #endEvents(): void {
    for (const events of this.#events) events.close()
    this.#events = []
    if (this.#isCounted) watchedMailboxes -= 1
    this.#isCounted = false
  }

  #pollSoon(): void {
    this.#poll = setTimeout(() => {
      void this.#look()
    }, this.#limits.pollMs)
    this.#poll.unref()
  }

  async #look(): Promise<void> {
    let times: string
    try {
      const stats = await Promise.all(this.#folders.map((folder) => this.#disk.lstat(folder, { bigint: true })))
      times = stats.map((stat) => stat.mtimeNs).join(' ')
    } catch {
      // Deleted or renamed: whoever watches finds out by looking.
      times = 'gone'
    }
    if (times !== this.#times && this.#times !== '') this.hint()
    this.#times = times
    if (this.#listeners.size > 0) this.#pollSoon()
  }
}
