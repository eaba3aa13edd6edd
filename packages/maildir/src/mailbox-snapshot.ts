import type { MailboxPlace, StoreContext } from './context.ts'
import { lstatIfThere } from './durable.ts'
import { encodeHeader, snapshotName, writeSnapshot, type Snapshot } from './snapshot.ts'

/** What `MailboxSnapshot` needs of the mailbox that it writes about. */
export interface KnownMailbox {
  readonly place: MailboxPlace
  readonly messages: { readonly length: number }
  /** What is known, in a turn of its own; after a look, when `look` is set. `undefined` when that is no settled state. */
  capture(look: boolean): Promise<Snapshot | undefined>
}

/**
 * Writes what this process knows of a large mailbox for the next process that opens it, behind the back of all sessions: some
 * time after the mailbox was first looked at, and after the last of its sessions has left. The file is described in
 * `snapshot.ts`.
 */
export class MailboxSnapshot {
  readonly #mailbox: KnownMailbox
  readonly #context: StoreContext
  /** The header of the last one that this process read or wrote. */
  #last: Buffer | undefined
  /** When the last one could not be written, ms of the monotonic clock: a disk that is full is not filled again at once. */
  #failedMs = Number.NEGATIVE_INFINITY
  #timer: NodeJS.Timeout | undefined
  #writing: Promise<void> = Promise.resolve()
  #isOver = false

  constructor(mailbox: KnownMailbox, context: StoreContext) {
    this.#mailbox = mailbox
    this.#context = context
  }

  /** There may be something worth writing soon. */
  due(): void {
    const { minSnapshotMessages, snapshotDelayMs } = this.#context.limits
    if (this.#isOver || this.#timer !== undefined || this.#mailbox.messages.length < minSnapshotMessages) return
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      // What is not settled yet, after a change of our own, is looked at now rather than by the next SELECT.
      this.#write(true)
    }, snapshotDelayMs).unref()
  }

  /** This process began with the snapshot of this header. */
  begunWith(header: Snapshot['header']): void {
    this.#last = encodeHeader(header)
  }

  /** The mailbox is used here no more: what was due is written as it is known. */
  end(): Promise<void> {
    if (this.#timer !== undefined) this.#write(false)
    this.drop()
    return this.#writing
  }

  /** Nothing is written any more: the path belongs to another mailbox, or to none. */
  drop(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#isOver = true
  }

  #write(look: boolean): void {
    // Whoever misses it looks at all of the mailbox: what keeps it from being written is no matter for anybody.
    this.#writing = this.#context.snapshots.run(() => this.#writeNow(look)).catch(() => undefined)
  }

  async #writeNow(look: boolean): Promise<void> {
    const { disk, limits, names } = this.#context
    const { path } = this.#mailbox.place
    if (performance.now() - this.#failedMs < limits.snapshotPauseMs) return
    const there = await lstatIfThere(disk, `${path}/${snapshotName}`)
    // Whoever wrote it, and whatever the clock says.
    if (there !== undefined && Math.abs(Date.now() - Number(there.mtimeMs)) < limits.snapshotPauseMs) return
    const known = await this.#mailbox.capture(look)
    if (known === undefined || known.messages.length < limits.minSnapshotMessages) return
    const header = encodeHeader(known.header)
    if (there !== undefined && this.#last?.equals(header) === true) return
    try {
      await writeSnapshot(disk, path, names.next(), known, limits)
      this.#last = header
    } catch {
      this.#failedMs = performance.now()
    }
  }
}
