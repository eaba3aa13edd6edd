import type { Awaitable } from './awaitable.ts'

declare const brand: unique symbol
/** RFC 9051 section 2.3.1.1: 1 to 4294967295, strictly ascending in a mailbox, never reused. */
export type Uid = number & { readonly [brand]: 'Uid' }
/** RFC 9051 section 2.3.1.1: 1 to 4294967295. */
export type UidValidity = number & { readonly [brand]: 'UidValidity' }
/** A system flag as it is spelled here, or a keyword. `\Recent` belongs to sessions and is never stored. */
export type Flag = '\\Seen' | '\\Answered' | '\\Flagged' | '\\Deleted' | '\\Draft' | (string & {})

/** What a store refuses; a value of the reply, not an exception. IMAP response codes in brackets (RFC 5530). */
export type StoreRefusal =
  | 'no-such-mailbox' // [NONEXISTENT], or [TRYCREATE] for APPEND and COPY
  | 'mailbox-exists' // [ALREADYEXISTS]
  | 'bad-name' // [CANNOT]
  | 'has-children' // [HASCHILDREN]
  | 'bad-use' // [USEATTR]
  | 'over-quota' // [OVERQUOTA]
  | 'no-space' // [UNAVAILABLE]; SMTP 452 4.3.1
  | 'limit' // [LIMIT]
  | 'unavailable' // [UNAVAILABLE]; SMTP 451 4.3.0

/** What a store did, or why it refused; `detail` is for the log, never for the client. */
export type StoreOutcome<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly refusal: StoreRefusal; readonly detail: string }

/**
 * What a store may be able to do, so that nothing is offered to clients that it cannot:
 *
 * - `commit-together`: its writers have `commitWith` (MULTIAPPEND).
 * - `modseq`: modification sequences, and what was expunged since one (CONDSTORE and QRESYNC, RFC 7162).
 * - `special-use`: `create` gives a mailbox the use it is asked for (CREATE-SPECIAL-USE, RFC 6154).
 * - `object-ids`: ids of mailboxes and messages (OBJECTID, RFC 8474).
 * - `quota`: accounts have `quota`, and mailboxes `deletedBytes` (QUOTA, RFC 9208).
 * - `save-dates`: when a message came into its mailbox (SAVEDATE, RFC 8514).
 * - `watch`: accounts have `watchMailbox` and `watchList` (NOTIFY, RFC 5465).
 */
export type StoreAbility =
  | 'commit-together'
  | 'modseq'
  | 'special-use'
  | 'object-ids'
  | 'quota'
  | 'save-dates'
  | 'watch'

/** What a mailbox is for (RFC 6154 section 2), as far as a store can be asked for it. */
export type SpecialUse = '\\Archive' | '\\Drafts' | '\\Junk' | '\\Sent' | '\\Trash'

/**
 * A mail store. Mailbox names are Unicode in NFC with `/` between levels; `INBOX` is folded to that spelling by the
 * session. A store makes no protocol text.
 */
export interface MailStore {
  /** What it can do beyond the rest of this contract. */
  readonly can?: readonly StoreAbility[]
  /** Opens what an account keeps, and makes it when it is new. Rejects only for broken I/O. */
  openAccount(account: string): Promise<Account>
  /**
   * Starts a message. Nothing is visible before `commit`; several deliveries of one message are committed one by one.
   * @param message.bytes - size when known beforehand, for quota.
   */
  deliver(
    account: string,
    mailbox: string,
    message: { readonly flags: readonly Flag[]; readonly internalDate?: Date; readonly bytes?: number },
  ): Promise<StoreOutcome<MessageWriter>>
}

/** One message being written. */
export interface MessageWriter {
  /** Content with CRLF line ends. Awaited: this is the backpressure of the disk. A failure shows at `commit`. */
  write(chunk: Buffer): Awaitable<void>
  /**
   * The data is synced, and still invisible: what may fail for want of space has been done, and `commit` has only to
   * link. Whoever writes several copies of one message prepares all of them before the first commit.
   */
  prepare?(): Promise<StoreOutcome<void>>
  /** Durable and visible when it resolves with `ok`: data synced, linked into place, directory synced. */
  commit(): Promise<StoreOutcome<{ readonly uidValidity: UidValidity; readonly uid: Uid } | undefined>>
  /**
   * Commits this message and others of the same mailbox, in this order: all of them, or none (RFC 3502). `others` are
   * writers of the same store. Absent: the store cannot.
   */
  commitWith?(
    others: readonly MessageWriter[],
  ): Promise<StoreOutcome<{ readonly uidValidity: UidValidity; readonly uids: readonly Uid[] } | undefined>>
  /** Leaves nothing behind. Safe to call at any time, also after a failed commit. */
  abort(): Promise<void>
}

/** One line of LIST. */
export interface MailboxListing {
  readonly name: string
  /** As RFC 9051 section 7.3.1 and RFC 6154 spell them: `\HasChildren`, `\Noselect`, `\Sent`, ... */
  readonly attributes: readonly string[]
  readonly isSubscribed: boolean
}

/** What STATUS can ask for (RFC 9051 section 6.3.11). */
export interface MailboxStatus {
  readonly uidValidity: UidValidity
  readonly uidNext: Uid
  readonly messages: number
  readonly unseen: number
  readonly deleted: number
  readonly recent: number
  /** Sum of the message sizes, bytes with CRLF line ends. */
  readonly bytes: number
  /** Of a store that keeps modification sequences: no change so far has a higher one. */
  readonly highestModseq?: bigint
  /** Of a store with object ids. */
  readonly mailboxId?: ObjectId
  /** Of a store with quotas: what an expunge would free. */
  readonly deletedBytes?: number
}

/** What an account holds, and may hold. */
export interface QuotaUse {
  readonly used: number
  readonly limit: number
}

/** The limits of an account (RFC 9208); what is absent is not limited. */
export interface AccountQuota {
  /** Bytes. */
  readonly storage?: QuotaUse
  readonly messages?: QuotaUse
}

/** One account's mailboxes. */
export interface Account {
  /** Every mailbox, and subscribed names that are no mailbox (with `\NonExistent`). */
  list(): Promise<readonly MailboxListing[]>
  /**
   * Also makes missing levels above.
   *
   * @param specialUse - only to a store that can; `bad-use` when another mailbox has it.
   */
  create(name: string, specialUse?: SpecialUse): Promise<StoreOutcome<void>>
  /** Removes the mailbox and its messages; its UIDVALIDITY is never used again. */
  delete(name: string): Promise<StoreOutcome<void>>
  /**
   * With everything below it. Renaming INBOX moves its messages (RFC 9051 section 6.3.6). Who has another mailbox open goes along,
   * in a store that can.
   */
  rename(from: string, to: string): Promise<StoreOutcome<void>>
  /** A name may be subscribed though no such mailbox exists. */
  subscribe(name: string, isSubscribed: boolean): Promise<StoreOutcome<void>>
  /** Without opening it for a session: takes no `recent`. */
  status(name: string): Promise<StoreOutcome<MailboxStatus>>
  /**
   * Of a store with quotas; `undefined` for an account without limits, `unavailable` when nobody can tell them now. All
   * mailboxes count together.
   */
  quota?(): Promise<StoreOutcome<AccountQuota | undefined>>
  /**
   * Of a store that can watch: calls back soon after something may have changed in a mailbox that nobody needs to have
   * open. A lost hint only delays.
   *
   * @returns what ends it; `undefined` when no more can be watched.
   */
  watchMailbox?(name: string, onHint: () => void): (() => void) | undefined
  /** Likewise of the names of mailboxes, and of subscriptions. */
  watchList?(onHint: () => void): (() => void) | undefined
  /** Selects it for one session. */
  open(name: string, mode: 'read-only' | 'read-write'): Promise<StoreOutcome<Mailbox>>
  /** Lets go of what it holds; open mailboxes are closed by their sessions. */
  close(): Promise<void>
}

/** What a session may know of a message without opening it. */
export interface MessageRecord {
  readonly uid: Uid
  readonly flags: readonly Flag[]
  /** RFC822.SIZE: bytes with CRLF line ends. */
  readonly bytes: number
  readonly internalDate: Date
  /**
   * Modification sequence (RFC 7162), of a store that keeps them: 1 to 2^63 - 1, higher after each change of the message
   * than any in the mailbox before.
   */
  readonly modseq?: bigint
  /** Of a store with object ids: the same for copies of one message, and of no other. */
  readonly emailId?: ObjectId
  /** Of a store with save dates; `undefined` also for a message of which it does not know. */
  readonly savedDate?: Date | undefined
}

/** What changed in a mailbox since the last look. */
export interface MailboxChanges {
  /** Ascending by UID. */
  readonly arrived: readonly MessageRecord[]
  readonly expunged: readonly Uid[]
  /** Flags or modification sequence differ from what was told before, whoever changed them. */
  readonly changed: readonly MessageRecord[]
}

/** RFC 8474 section 7: 1 to 255 letters, digits, `_` and `-`. */
export type ObjectId = string

/** A change of flags. */
export interface FlagChange {
  readonly op: 'add' | 'remove' | 'replace'
  readonly flags: readonly Flag[]
  /** Messages that were changed since (RFC 7162 section 3.1.3) keep their flags; no other session comes in between. */
  readonly unchangedSince?: bigint
}

/** What became of a change of flags. */
export interface FlagsChanged {
  /** The messages as they are now, ascending by UID; those expunged meanwhile are left out. */
  readonly messages: readonly MessageRecord[]
  /** Those that `unchangedSince` kept as they were; not among `messages`. */
  readonly modified: readonly Uid[]
}

/**
 * An open mailbox, one handle for each session that selected it. It speaks UIDs only: message sequence numbers belong
 * to the session's view. What others did shows at `refresh`, never in between; what this handle did counts as told:
 * `records` shows it when the call resolves, and `refresh` does not repeat it.
 */
export interface Mailbox {
  /** As of the last look: a mailbox may be renamed while it is open. */
  readonly name: string
  readonly uidValidity: UidValidity
  /** Of a store with object ids: stays when the mailbox is renamed, and changes when UIDVALIDITY does. */
  readonly mailboxId?: ObjectId
  readonly mode: 'read-only' | 'read-write'
  /** The mailbox as of the last look: ascending by UID. The list never changes; another look is another list. */
  records(): readonly MessageRecord[]
  /** Larger than any UID given so far. */
  uidNext(): Uid
  /**
   * Messages that this session is the first to see (RFC 3501 section 2.3.2): all of them among `records`, at every
   * call. A read-write session takes them, so a message is in the set of one such session only.
   */
  recent(): ReadonlySet<Uid>
  /** Keywords in use beside the system flags, for FLAGS and PERMANENTFLAGS. */
  keywords(): readonly string[]
  /**
   * Of a store that keeps modification sequences (RFC 7162): the highest of the mailbox, expunges counted, as of the last
   * look. All of its mailboxes have this, or none.
   */
  highestModseq?(): bigint
  /**
   * UIDs expunged with a higher modification sequence, ascending; `undefined` when the store does not remember so far
   * back. Comes with `highestModseq`.
   */
  expungedSince?(modseq: bigint): Promise<readonly Uid[] | undefined>
  /** Looks at the disk, and makes `records` what it found. Rejects with `MailboxGoneError` when there is nothing to find. */
  refresh(): Promise<MailboxChanges>
  /** Calls back soon after something may have changed. Returns what ends it. A lost hint only delays. */
  watch(onHint: () => void): () => void
  /**
   * The note that a session made about a message by `remember`, of a store that keeps such notes. A message's bytes never
   * change, so what was found out about them stays true. `undefined` when there is none: any may be lost at any time. It
   * comes at once when it is in memory.
   */
  recall?(uid: Uid): Awaitable<string | undefined>
  /** Keeps a note about a message, one octet in each character, for whoever opens the mailbox; nothing after `close`. Comes with `recall`. */
  remember?(uid: Uid, note: string): void
  /** The message's bytes with CRLF line ends; `undefined` when it was expunged meanwhile. */
  content(uid: Uid): Promise<MessageContent | undefined>
  /** Changes flags; a message whose flags are so already keeps its modification sequence. */
  setFlags(uids: readonly Uid[], change: FlagChange): Promise<StoreOutcome<FlagsChanged>>
  /** All or nothing. `from` and `to` correspond, in order. */
  copy(uids: readonly Uid[], target: string): Promise<StoreOutcome<CopiedUids>>
  /**
   * Each message is moved or stays, and `from` tells which were moved. After a crash too it is in one of both mailboxes, and
   * should not be in both (RFC 6851 section 3.3).
   */
  move(uids: readonly Uid[], target: string): Promise<StoreOutcome<MovedUids>>
  /** Removes messages with `\Deleted`; only those in `uids`, when given. Returns what was removed, ascending. */
  expunge(uids?: readonly Uid[]): Promise<StoreOutcome<readonly Uid[]>>
  /** Lets go of the handle. Expunges nothing. */
  close(): Promise<void>
}

/** For COPYUID (RFC 4315 section 3). */
export interface CopiedUids {
  readonly uidValidity: UidValidity
  readonly from: readonly Uid[]
  readonly to: readonly Uid[]
}

/** What a MOVE moved. */
export interface MovedUids extends CopiedUids {
  /** Why the others stayed, when it failed half-way. Those that were not there any more are no failure. */
  readonly refusal?: StoreRefusal
}

/** Random access to one message: the rest of it is not read. */
export interface MessageContent {
  readonly bytes: number
  /** Fewer bytes than asked only at the end. The buffer is the caller's. */
  read(offset: number, length: number): Promise<Buffer>
  /** Closes the file behind it. */
  close(): Promise<void>
}
