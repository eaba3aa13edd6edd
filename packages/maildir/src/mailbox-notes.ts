import type { Awaitable, Uid, UidValidity } from '@postern/core'
import type { MailboxPlace, StoreContext } from './context.ts'
import { appendNotes, NoteArena, readNotes, writeNotes, type NotesPosition } from './notes.ts'

/** What `MailboxNotes` needs of the mailbox whose notes they are. */
interface NotedMailbox {
  readonly place: MailboxPlace
  readonly uidValidity: UidValidity
  readonly messages: readonly { readonly uid: Uid }[]
  /** Runs `work` alone, while this process holds the mailbox's lock file. */
  exclusive<T>(work: () => Promise<T>): Promise<T>
}

/** What it needs of the store. */
type NotesContext = Pick<StoreContext, 'disk' | 'limits' | 'notesInMemory'>

/** The notes that this process has in memory, of all mailboxes: those used longest ago go when they take too much. */
export class NotesInMemory {
  readonly #maxBytes: number
  readonly #all = new Set<MailboxNotes>()

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  touch(notes: MailboxNotes): void {
    this.#all.delete(notes)
    this.#all.add(notes)
    let bytes = 0
    for (const each of this.#all) bytes += each.bytes
    for (const each of this.#all) {
      if (bytes <= this.#maxBytes || each === notes) return
      bytes -= each.bytes
      this.#all.delete(each)
      void each.letGo()
    }
  }

  drop(notes: MailboxNotes): void {
    this.#all.delete(notes)
  }
}

/**
 * The notes of one mailbox as this process has them: read when they are first asked for, written behind the back of
 * whoever makes them, and let go when others need the memory. Its file is described in `notes.ts`.
 */
export class MailboxNotes {
  readonly #mailbox: NotedMailbox
  readonly #context: NotesContext
  /** Which mailbox they are of: another UIDVALIDITY makes all of them wrong. */
  #uidValidity: UidValidity | undefined
  #arena: NoteArena | undefined
  /** Takes its place when the file is written anew. */
  #nextArena: NoteArena | undefined
  #position: NotesPosition | undefined
  #loading: Promise<void> | undefined
  /** Records that are not in the file. */
  #unwritten: Buffer[] = []
  #unwrittenBytes = 0
  #timer: NodeJS.Timeout | undefined
  #writing: Promise<void> = Promise.resolve()
  /** When the file was last read, ms of the monotonic clock. */
  #readAtMs = 0
  /** When room was last looked for among the notes, ms of the monotonic clock. */
  #tidiedAtMs = -Infinity

  constructor(mailbox: NotedMailbox, context: NotesContext) {
    this.#mailbox = mailbox
    this.#context = context
  }

  /** Memory that they take. */
  get bytes(): number {
    return this.#arena?.bytes ?? 0
  }

  /** The note about a message, if there is one. Waits only while the file is read. */
  get(uid: Uid): Awaitable<string | undefined> {
    const arena = this.#current()
    const note = arena?.get(uid)
    if (note !== undefined) return note
    // Another process may have noted it since.
    const isFresh = arena !== undefined && performance.now() - this.#readAtMs < this.#context.limits.notesFreshMs
    if (isFresh) return undefined
    return this.#load().then(() => this.#current()?.get(uid))
  }

  /** Too long a note is not kept, and neither is one too many. */
  set(uid: Uid, note: string): void {
    const { limits } = this.#context
    const arena = this.#current()
    if (arena === undefined || note.length > limits.maxNoteBytes) return
    if (arena.liveBytes + note.length > limits.maxNotesBytes / 2) {
      this.#makeRoom()
      return
    }
    const record = arena.set(uid, note)
    this.#nextArena?.set(uid, note)
    this.#unwritten.push(record)
    this.#unwrittenBytes += record.length
    if (this.#unwrittenBytes >= limits.chunkBytes * 4) void this.flush()
    else this.#timer ??= setTimeout(() => void this.flush(), limits.notesDelayMs).unref()
  }

  /** Writes what is not in the file. What cannot be written is found out again by whoever needs it. */
  flush(): Promise<void> {
    clearTimeout(this.#timer)
    this.#timer = undefined
    const records = this.#unwritten
    if (records.length === 0) return this.#writing
    this.#unwritten = []
    this.#unwrittenBytes = 0
    return this.#writeNext(records, false)
  }

  /** Gives the memory back; what was not written is written first. */
  async letGo(): Promise<void> {
    const arena = this.#arena
    await this.flush()
    if (this.#arena === arena) this.#forget()
  }

  /** Gives the memory back without writing: the file at its path belongs to another mailbox, or is gone. */
  drop(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#forget()
  }

  /** Some of what fills it may be of messages that are gone. It takes a look at all of them to know. */
  #makeRoom(): void {
    const nowMs = performance.now()
    if (nowMs - this.#tidiedAtMs < this.#context.limits.notesTidyMs) return
    this.#tidiedAtMs = nowMs
    void this.#writeNext([], true)
  }

  #current(): NoteArena | undefined {
    if (this.#uidValidity !== this.#mailbox.uidValidity) {
      this.#forget()
      this.#uidValidity = this.#mailbox.uidValidity
    }
    return this.#arena
  }

  #forget(): void {
    this.#context.notesInMemory.drop(this)
    this.#arena = undefined
    this.#position = undefined
    this.#unwritten = []
    this.#unwrittenBytes = 0
  }

  #load(): Promise<void> {
    this.#loading ??= this.#read().finally(() => {
      this.#loading = undefined
    })
    return this.#loading
  }

  async #read(): Promise<void> {
    const { disk, limits } = this.#context
    const uidValidity = this.#mailbox.uidValidity
    const arena = this.#arena ?? new NoteArena()
    const position = await readNotes(disk, this.#mailbox.place.path, uidValidity, this.#position, arena, limits).catch(
      () => undefined,
    )
    // The file was written anew meanwhile: what was read is of the old one, with notes of messages that are gone.
    const isReplaced = this.#arena !== undefined && this.#arena !== arena
    if (isReplaced || uidValidity !== this.#uidValidity) return
    this.#arena = arena
    this.#position = position
    this.#readAtMs = performance.now()
    this.#context.notesInMemory.touch(this)
  }

  #writeNext(records: readonly Buffer[], mustTidy: boolean): Promise<void> {
    this.#writing = this.#writing.then(() => this.#write(records, mustTidy)).catch(() => undefined)
    return this.#writing
  }

  async #write(records: readonly Buffer[], mustTidy: boolean): Promise<void> {
    const { disk, limits } = this.#context
    const { place } = this.#mailbox
    const uidValidity = this.#uidValidity
    await this.#mailbox.exclusive(async () => {
      const arena = this.#arena
      if (arena === undefined || uidValidity === undefined || uidValidity !== this.#mailbox.uidValidity) return
      const position = await appendNotes(disk, place.path, uidValidity, this.#position, arena, records, limits)
      this.#position = position
      this.#context.notesInMemory.touch(this)
      const { messages } = this.#mailbox
      // Most of it was replaced, or is of messages that are gone.
      const isLoose = position.length > 2 * arena.liveBytes || arena.count > 2 * messages.length
      const isTooLong = position.length >= limits.maxNotesBytes
      if (!mustTidy && !isTooLong && !(isLoose && position.length > limits.chunkBytes)) return
      const bytes = Buffer.concat([...arena.recordsOf(messages.map(({ uid }) => uid))])
      const kept = new NoteArena(bytes.length)
      await kept.take(bytes, limits)
      // What is noted from here on is in neither file: it is appended to the new one.
      this.#nextArena = kept
      try {
        this.#position = await writeNotes(disk, place.path, uidValidity, [bytes])
        this.#arena = kept
      } finally {
        this.#nextArena = undefined
      }
    })
  }
}
