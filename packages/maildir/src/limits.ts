/** Every bound of this package. A store may be opened with other values; `openMaildirStore` checks nothing about them. */
export interface MaildirLimits {
  /**
   * Longest name of one file or folder, bytes. 255 is NAME_MAX of every file system a Maildir lives on; a mailbox name
   * that needs more in modified UTF-7 is refused with `limit`, an account name with `MAILDIR_BAD_ACCOUNT`.
   */
  readonly maxElementBytes: number
  /**
   * Keywords of one mailbox: 26 are letters of file names, and 64 more have bits in the journal, at most. One more is
   * refused with `limit`.
   */
  readonly maxKeywords: number
  /** Longest keyword, characters: the table is read whole. Over it: refused with `limit`. */
  readonly maxKeywordLength: number
  /** Mailboxes of one account, implicit parents not counted: a listing is made in memory. Over it: `limit`. */
  readonly maxMailboxes: number
  /** Subscribed names of one account: the file is read and replaced whole. Over it: `limit`. */
  readonly maxSubscriptions: number
  /**
   * Largest table that is read whole (subscriptions, keywords, special uses, counters), bytes: 10,000 of the longest names
   * take 2.5 MiB. Another program may put anything in its place: beyond it subscriptions and keywords are not changed
   * (`unavailable`), and the others are made anew.
   */
  readonly maxTableBytes: number
  /**
   * Largest file of another program that is read through to count its line ends, bytes. Beyond it the file is left
   * alone and reported: a sparse file of 10 GiB must not hold a SELECT for minutes. Own deliveries are not bounded
   * here, since the size of a message is the sessions' limit.
   */
  readonly maxForeignMessageBytes: number
  /** Longest wait for a lock, ms. Locks are held for milliseconds; over it the operation is refused with `unavailable`. */
  readonly lockWaitMs: number
  /** Longest pause between two tries for a lock, ms; tries start at 1 ms and double. */
  readonly lockRetryMs: number
  /**
   * Before a process takes a mailbox's lock again it leaves it free for this share of the time that it held it, and for no
   * longer than `lockRetryMs`: others that wait look for it now and then, and would never find it free.
   */
  readonly lockPauseShare: number
  /** Times that a MOVE takes the one lock to find that the other is not free. Beyond it both are waited for, one within the other. */
  readonly lockPairTries: number
  /**
   * A lock whose owner this process cannot look at (another machine, another PID namespace) is broken when it stood
   * unchanged for this long on our own monotonic clock, ms. Thousands of times longer than a lock is ever held.
   */
  readonly foreignLockMs: number
  /**
   * Journals of mailboxes that stay open from one change of flags to the next, file descriptors: opening and closing one
   * costs as much as writing to it. Those used longest ago are closed.
   */
  readonly maxOpenJournals: number
  /** A call that is made on the event loop and takes longer than this has waited for something, ms. */
  readonly promptCallMs: number
  /**
   * The event loop may have lost so much to such waits, ms, before changes go through threads: two or three turns of a disk.
   */
  readonly maxLoopWaitMs: number
  /** So much of the time may be lost to them, as a share: the wait of a second sends changes through threads for ten. */
  readonly loopWaitShare: number
  /**
   * Changes made on the event loop in one turn of it, of all sessions together, ms. The others of that turn go through threads. As
   * much again is for reading what the kernel has in its memory, which has an account of its own.
   */
  readonly inPlaceTurnMs: number
  /** Messages handled while a lock is held once, so that it is held for milliseconds. */
  readonly messagesPerLock: number
  /** Names that one read of a folder brings, entries: a threadpool call costs more than a name, a batch blocks for 3 ms. */
  readonly folderBufferEntries: number
  /**
   * A folder of at most this size is read in one call, on the event loop if that is prompt, octets: one block of the disk, with some
   * hundreds of names. What was delivered and is not claimed yet is mostly less than that.
   */
  readonly smallFolderBytes: number
  /**
   * Names, lines or records handled between two turns of the event loop; about a millisecond of work. So many records are
   * written to a journal at once: however many messages came, all sessions of the worker are answered meanwhile.
   */
  readonly namesPerTurn: number
  /** Files looked at (lstat, line ends) at once while UIDs are assigned; half of libuv's threads stay free for others. */
  readonly parallelFiles: number
  /** Bytes read or written at once when content is copied or scanned: the memory of one such operation. */
  readonly chunkBytes: number
  /**
   * Scans of a directory that others keep changing, before a message that may be gone, or has only come, waits for the next
   * time. Then sessions are told less than what is: so rather once more than once too few. A scan takes a millisecond for each
   * thousand names, under the lock.
   */
  readonly settleScans: number
  /** Looks at a mailbox into which others deliver, before what the journal tells of beyond them waits for the next time. */
  readonly maxLooks: number
  /** Flag changes are tried again this often when another program renames the same file; then the message is left out. */
  readonly renameRetries: number
  /**
   * A directory time this close to the moment of a scan may hide a later change in the same tick, ms: the next look
   * scans again. Linux stamps with at most 10 ms of granularity.
   */
  readonly dirtyWindowMs: number
  /** The same where times are whole seconds (NFSv2, HFS+, ext3), ms; FAT counts in steps of two seconds. */
  readonly coarseDirtyWindowMs: number
  /**
   * After this process itself changed `cur`, its directory time is taken as known; a change of another program in the
   * same moment would hide behind it. So `cur` is scanned again this long after, ms.
   */
  readonly ownChangeRescanMs: number
  /** File system events within this time become one hint, ms. */
  readonly hintDebounceMs: number
  /** A watched mailbox is looked at this often even without an event (NFS tells nothing), ms. Bounds the delay of a lost hint. */
  readonly pollMs: number
  /** Mailboxes of this process watched by inotify, two watches each; more are polled only. The kernel's default bound is 8,192 watches and up. */
  readonly maxWatchedMailboxes: number
  /**
   * Mailboxes, and lists of mailboxes, that sessions of this process watch without having them open (NOTIFY, RFC 5465).
   * Each costs as much as a watched mailbox. One more is refused to the session that asks.
   */
  readonly maxNotifiedMailboxes: number
  /** Age at which a file in `tmp/` is abandoned, ms. 36 hours: maildir(5). */
  readonly staleTmpMs: number
  /** Files of `tmp/` looked at in one clean-up, so that a hundred thousand of them are removed over several. */
  readonly tmpFilesPerCleanup: number
  /** Least time between two clean-ups of one mailbox by this process, ms. */
  readonly cleanupEveryMs: number
  /**
   * Messages of mailboxes that nobody has open, kept in memory so that the next SELECT or STATUS reads only what changed. Each
   * takes some 400 bytes, and a mailbox of 100,000 that is neither kept nor in a snapshot a second of CPU.
   */
  readonly maxIdleMessages: number
  /** Mailboxes that nobody has open, kept likewise. */
  readonly maxIdleMailboxes: number
  /** One note of a session about a message, octets. A longer one is not kept, and found out again each time. */
  readonly maxNoteBytes: number
  /**
   * Octets of a mailbox's notes in their file. Half of that is of messages that are there: some 80,000 of them. Beyond it
   * nothing is noted.
   */
  readonly maxNotesBytes: number
  /** How often notes that have no room are looked through for those of messages that are gone, ms. A look writes them anew. */
  readonly notesTidyMs: number
  /** Octets of notes that one process keeps in memory, of all mailboxes. Over it those used longest ago are read again. */
  readonly maxNotesMemoryBytes: number
  /** How long a new note waits for others, to be written together with them, ms. A process that is killed loses them. */
  readonly notesDelayMs: number
  /** How long it is believed that no other process noted a message, ms. */
  readonly notesFreshMs: number
  /**
   * Messages from which on a snapshot of a mailbox is written for the process that opens it next. With fewer, to look at all
   * of it takes less than 50 ms.
   */
  readonly minSnapshotMessages: number
  /** Octets of a snapshot. A larger one is neither written nor read: some two million messages. */
  readonly maxSnapshotBytes: number
  /**
   * How long a snapshot waits after the first look, and after the last session left, ms. By then the times of the folders
   * are past, and a client that comes again at once is back.
   */
  readonly snapshotDelayMs: number
  /** Least time between two snapshots of one mailbox, whoever writes them, ms. One of 100,000 messages has 12 MB. */
  readonly snapshotPauseMs: number
  /** Files of one mailbox that are reported as no messages, once each; more are skipped in silence. */
  readonly maxReportedFiles: number
  /**
   * Expunged UIDs that a journal remembers for clients that come back (RFC 7162). Of what went before, such a client is
   * told every UID that is missing.
   */
  readonly maxExpungedLog: number
  /**
   * Octets of a damaged journal that are looked through for keywords, so that a file of any size costs no more memory.
   * Room for two million records; a journal that is larger than that is compacted long before.
   */
  readonly maxSalvagedBytes: number
  /**
   * Removed lines that a UID list carries before it is rewritten; a quarter of the live ones, but at least this many.
   * Likewise the records of a journal that count no more.
   */
  readonly minDeadLines: number
}

/** The bounds of a store that was opened with no others. */
export const limits: MaildirLimits = {
  maxElementBytes: 255,
  maxKeywords: 90,
  maxKeywordLength: 255,
  maxMailboxes: 10_000,
  maxSubscriptions: 10_000,
  maxTableBytes: 4 * 1024 * 1024,
  maxForeignMessageBytes: 512 * 1024 * 1024,
  lockWaitMs: 10_000,
  lockRetryMs: 25,
  lockPauseShare: 0.1,
  lockPairTries: 8,
  foreignLockMs: 60_000,
  maxOpenJournals: 128,
  promptCallMs: 1,
  maxLoopWaitMs: 50,
  loopWaitShare: 0.1,
  inPlaceTurnMs: 1,
  messagesPerLock: 512,
  folderBufferEntries: 1_024,
  smallFolderBytes: 4_096,
  namesPerTurn: 2_000,
  parallelFiles: 2,
  chunkBytes: 65_536,
  settleScans: 8,
  maxLooks: 3,
  renameRetries: 4,
  dirtyWindowMs: 50,
  coarseDirtyWindowMs: 2_500,
  ownChangeRescanMs: 1_500,
  hintDebounceMs: 20,
  pollMs: 1_500,
  maxWatchedMailboxes: 2_048,
  maxNotifiedMailboxes: 4_096,
  staleTmpMs: 36 * 3_600_000,
  tmpFilesPerCleanup: 10_000,
  cleanupEveryMs: 3_600_000,
  maxIdleMessages: 200_000,
  maxIdleMailboxes: 256,
  maxNoteBytes: 8_192,
  maxNotesBytes: 64 * 1024 * 1024,
  maxNotesMemoryBytes: 64 * 1024 * 1024,
  notesTidyMs: 600_000,
  notesDelayMs: 1_000,
  notesFreshMs: 1_000,
  minSnapshotMessages: 5_000,
  maxSnapshotBytes: 256 * 1024 * 1024,
  snapshotDelayMs: 3_000,
  snapshotPauseMs: 600_000,
  maxReportedFiles: 1_000,
  maxExpungedLog: 100_000,
  maxSalvagedBytes: 67_108_864,
  minDeadLines: 1_000,
}
