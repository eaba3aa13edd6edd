import type { BigIntStats } from 'node:fs'
import type * as fs from 'node:fs/promises'
import type { Awaitable, MailStore, StoreOutcome } from '@postern/core'
import type { MaildirLimits } from './limits.ts'
import type { openLocalFile } from './local-file.ts'

/**
 * What the kernel of this machine answers from its memory, asked without a thread: only of file systems of its own, as
 * `statfs` tells them.
 */
export interface LocalStats {
  /** The number of the file system that holds `path`. */
  statfs(path: string): Promise<{ readonly type: number }>
  /** On the event loop; `undefined` when there is nothing. */
  lstatSync(
    path: string | Buffer,
    options: { readonly bigint: true; readonly throwIfNoEntry: false },
  ): BigIntStats | undefined
  /** On the event loop: the names in a folder. */
  readdirSync(path: string, options: { readonly encoding: 'latin1' }): string[]
  /** As `open`, and what is asked of the open file is asked in place as well. */
  openLocalFile: typeof openLocalFile
}

/** Changes that the kernel of this machine takes into its memory, made without a thread: of the same file systems only. */
export interface LocalChanges {
  /** On the event loop. Throws with the code of the system, as the others. */
  renameSync(from: string | Buffer, to: string | Buffer): void
  /** On the event loop. */
  symlinkSync(target: string, path: string): void
  /** On the event loop. */
  unlinkSync(path: string | Buffer): void
}

/**
 * The calls of the file system that this store makes: those of `node:fs/promises`, unless a test makes one fail. Without
 * those of `LocalStats` every question goes through a thread, and without those of `LocalChanges` every change.
 */
export type Disk = Partial<LocalStats> &
  Partial<LocalChanges> &
  Pick<
    typeof fs,
    | 'lstat'
    | 'mkdir'
    | 'open'
    | 'opendir'
    | 'readdir'
    | 'readFile'
    | 'readlink'
    | 'realpath'
    | 'rename'
    | 'rm'
    | 'rmdir'
    | 'symlink'
    | 'unlink'
    | 'link'
  >

/** What an operator should hear of; nothing was lost and nothing was refused because of it. */
export interface MaildirProblem {
  readonly kind:
    | 'skipped-file' // in cur or new, but no message: a directory, a FIFO, a symbolic link, empty, too large, not readable
    | 'skipped-folder' // its name is no mailbox name in its canonical spelling
    | 'uid-list-rebuilt' // it was damaged: the mailbox has a new UIDVALIDITY
    | 'stale-lock' // of a dead process; broken
    | 'duplicate-name' // two files with one base name; one was renamed
    | 'uid-deferred' // delivered, but the UID is given later
    | 'journal-rebuilt' // lost, damaged, or perhaps cut back by a power cut: clients look at all flags once
    | 'journal-deferred' // the disk would not take it; tried again at the next look
    | 'cleanup-failed' // the background clean-up met an error
  readonly account: string
  readonly mailbox: string
  /** May hold names that others chose: escape before it is logged. */
  readonly detail: string
}

/** What an account may hold; what is absent is not limited. */
export interface QuotaLimits {
  /** Bytes of message files. */
  readonly bytes?: number
  readonly messages?: number
}

/** What a store needs to know; all but the root has a default. */
export interface MaildirStoreOptions {
  /** Directory that holds a folder for each account. It must exist. */
  readonly root: string
  /** Part of every file name; the machine's name by default. */
  readonly hostname?: string
  /** The clock for INTERNALDATE, file names and UIDVALIDITY. */
  readonly now?: () => Date
  readonly limits?: Partial<MaildirLimits>
  /** Asked at each message that comes; `undefined` for an account without limits. None by default. */
  readonly quotaOf?: (account: string) => Awaitable<QuotaLimits | undefined>
  /** This process changed a mailbox: carry it to the other workers, where it goes into `notify`. May be lost or doubled. */
  readonly onChange?: (account: string, mailbox: string) => void
  /** Told of what was found and mended. Must not throw. */
  readonly onProblem?: (problem: MaildirProblem) => void
  /** For tests: the file system. */
  readonly disk?: Disk
}

/**
 * Maildir++ under one root: account `ann@example.org` lives in `<root>/ann@example.org/Maildir`, and no account name
 * can lead elsewhere. Any number of processes may open the same root.
 */
export interface MaildirStore extends MailStore {
  /** False also for a name that can be no account. */
  exists(account: string): Promise<boolean>
  /** Makes the folders; `ok` when they were there already. `bad-name` for a name that can be no account. */
  createAccount(account: string): Promise<StoreOutcome<void>>
  /** Another process changed this mailbox: wakes its watchers here. */
  notify(account: string, mailbox: string): void
  /** Ends watches and background work; open handles are spent. */
  close(): Promise<void>
}
