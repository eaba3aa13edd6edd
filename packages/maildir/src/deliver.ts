/*
 * One message on its way in. The order is the promise: content written and synced in `tmp/`, renamed into `new/`, that
 * folder synced, and with it the UID (`placing.ts`); only then is the commit answered. A delivery whose UID has to wait is a
 * delivery all the same. Whatever fails before, the file is removed and the sender tries
 * again: nothing is synced twice in the hope that it works then.
 */
import { constants } from 'node:fs'
import type { Awaitable, Flag, MessageWriter, StoreOutcome, Uid, UidValidity } from '@postern/core'
import type { StoreContext } from './context.ts'
import { assertInside } from './content.ts'
import { unlinkIfThere, writeAll } from './durable.ts'
import { accepted, isErrno, refused, refusalOf, StoreError } from './errors.ts'
import type { Folder } from './folder.ts'
import { noMarks, type Marks } from './keywords.ts'
import type { OpenFile } from './local-file.ts'
import { usageOf, type PlacedFiles, type PreparedFile } from './placing.ts'

/** What a delivery asks of the account it belongs to. */
export interface DeliveryOwner {
  /** The mailbox in whose `tmp/` a file waits; its folder is in use until it is released. */
  findWaiting(file: string): Promise<Folder | undefined>
  release(folder: Folder): void
}

/** Opens the file in `tmp/`. The folder, which is in use, is released once, when the writer is done, also when this refuses. */
export async function openDelivery(
  folder: Folder,
  context: StoreContext,
  message: { readonly flags: readonly Flag[]; readonly internalDate?: Date; readonly bytes?: number },
  owner: DeliveryOwner,
): Promise<StoreOutcome<MessageWriter>> {
  try {
    if (!(await folder.hasRoomFor({ bytes: message.bytes ?? 0, messages: 1 }))) {
      owner.release(folder)
      return overQuota
    }
    const marks = message.flags.length === 0 ? accepted(noMarks) : await folder.prepareMarks(message.flags)
    if (!marks.ok) {
      owner.release(folder)
      return marks
    }
    const name = context.names.next()
    const handle = await createIn(context, folder, name)
    return accepted(
      new Delivery(folder, context, { name, marks: marks.value, date: message.internalDate }, handle, owner),
    )
  } catch (error) {
    owner.release(folder)
    return refusalOf(error)
  }
}

async function createIn(context: StoreContext, folder: Folder, name: string): Promise<OpenFile> {
  const tmp = `${folder.place.path}/tmp`
  // O_EXCL: an existing name is never written to, and O_NOFOLLOW: nor through a link.
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW
  let handle: OpenFile
  try {
    handle = await folder.changes.open(`${tmp}/${name}`, flags, 0o600)
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) throw error
    await folder.makeSubFolders()
    handle = await folder.changes.open(`${tmp}/${name}`, flags, 0o600)
  }
  try {
    assertInside(handle, tmp)
    return handle
  } catch (error) {
    await handle.close()
    await unlinkIfThere(context.disk, `${tmp}/${name}`)
    throw error
  }
}

const overQuota = refused('over-quota', 'the quota of the account')

class Delivery implements MessageWriter {
  #folder: Folder
  readonly #context: StoreContext
  readonly #file: { readonly name: string; readonly marks: Marks; readonly date: Date | undefined }
  readonly #handle: OpenFile
  readonly #owner: DeliveryOwner
  /** Small chunks wait here for one write; copies, since a chunk is the caller's again once `write` returned. */
  #waiting: Buffer[] = []
  #waitingBytes = 0
  #bytes = 0
  #writtenBytes = 0
  /** The first failure; everything after it does nothing. */
  #failure: unknown
  #hasFailed = false
  #state: 'writing' | 'preparing' | 'prepared' | 'committing' | 'done' = 'writing'
  /** INTERNALDATE, once it is known. */
  #date = new Date(0)
  #lastWrite: Promise<void> = Promise.resolve()

  constructor(
    folder: Folder,
    context: StoreContext,
    file: { readonly name: string; readonly marks: Marks; readonly date: Date | undefined },
    handle: OpenFile,
    owner: DeliveryOwner,
  ) {
    this.#folder = folder
    this.#context = context
    this.#file = file
    this.#handle = handle
    this.#owner = owner
  }

  write(chunk: Buffer): Awaitable<void> {
    if (this.#hasFailed || this.#state !== 'writing' || chunk.length === 0) return
    this.#bytes += chunk.length
    this.#waiting.push(Buffer.from(chunk))
    this.#waitingBytes += chunk.length
    if (this.#waitingBytes >= this.#context.limits.chunkBytes) return this.#flush()
  }

  async prepare(): Promise<StoreOutcome<void>> {
    if (this.#state !== 'writing') return refused('unavailable', 'prepared, committed or aborted before')
    this.#state = 'preparing'
    try {
      await this.#flush()
      if (this.#hasFailed) throw this.#failure
      this.#date = this.#file.date ?? this.#context.now()
      await this.#handle.utimes(this.#date, this.#date)
      await this.#handle.sync()
      await this.#handle.close()
      this.#state = 'prepared'
      return accepted(undefined)
    } catch (error) {
      await this.#discard()
      return refusalOf(error)
    }
  }

  async commit(): Promise<StoreOutcome<{ readonly uidValidity: UidValidity; readonly uid: Uid } | undefined>> {
    const committed = await this.commitWith([])
    if (!committed.ok || committed.value === undefined) return committed as StoreOutcome<undefined>
    const { uidValidity, uids } = committed.value
    const [uid] = uids
    return accepted(uid === undefined ? undefined : { uidValidity, uid })
  }

  async commitWith(
    others: readonly MessageWriter[],
  ): Promise<StoreOutcome<{ readonly uidValidity: UidValidity; readonly uids: readonly Uid[] } | undefined>> {
    const all: Delivery[] = [this]
    for (const other of others) {
      // Of one name: where another mailbox has it by now, they are not placed together.
      const isOfSame = other instanceof Delivery && other.#folder.place.path === this.#folder.place.path
      if (!isOfSame) throw new TypeError('writers of one mailbox')
      all.push(other)
    }
    for (const delivery of all) {
      const prepared = delivery.#state === 'prepared' ? accepted(undefined) : await delivery.prepare()
      if (!prepared.ok) return prepared
    }
    for (const delivery of all) delivery.#state = 'committing'
    try {
      const files = all.map((delivery) => delivery.#prepared)
      if (!(await this.#folder.hasRoomFor(usageOf(files)))) {
        for (const delivery of all) await delivery.#discard()
        return overQuota
      }
      // Several are placed under the lock: another process could otherwise give a UID to one that is taken back.
      const placed = await this.#put(all, files)
      for (const delivery of all) delivery.#end()
      // A UID that has to wait leaves the others nothing to be told by.
      return accepted(placed?.uids.length === all.length ? placed : undefined)
    } catch (error) {
      for (const delivery of all) await delivery.#discard()
      // The mailbox went away while the message came in.
      return isGone(error) ? refused('no-such-mailbox', String(error)) : refusalOf(error)
    }
  }

  /** A mailbox that is renamed meanwhile takes its `tmp/` along, and what waits there: it is delivered all the same. */
  async #put(all: readonly Delivery[], files: readonly PreparedFile[]): Promise<PlacedFiles | undefined> {
    try {
      return await this.#folder.put(files, all.length > 1)
    } catch (error) {
      if (!isGone(error)) throw error
      for (const delivery of all) if (!(await delivery.#follow())) throw error
      return this.#folder.put(files, all.length > 1)
    }
  }

  async #follow(): Promise<boolean> {
    const folder = await this.#owner.findWaiting(this.#file.name)
    if (folder === undefined) return false
    this.#owner.release(this.#folder)
    this.#folder = folder
    return true
  }

  async abort(): Promise<void> {
    if (this.#state !== 'writing' && this.#state !== 'prepared') return
    this.#state = 'committing'
    await this.#lastWrite
    await this.#discard()
  }

  /** The file as it waits in `tmp/`. */
  get #prepared(): PreparedFile {
    const { name, marks } = this.#file
    return {
      tmp: name,
      base: this.#context.names.sized(name, this.#bytes),
      marks,
      dateMs: this.#date.getTime(),
      rawBytes: this.#bytes,
      bytes: this.#bytes,
    }
  }

  #flush(): Promise<void> {
    const bytes = this.#waiting.length === 1 ? (this.#waiting[0] ?? Buffer.alloc(0)) : Buffer.concat(this.#waiting)
    this.#waiting = []
    this.#waitingBytes = 0
    this.#lastWrite = this.#writeAfter(this.#lastWrite, bytes)
    return this.#lastWrite
  }

  async #writeAfter(earlier: Promise<void>, bytes: Buffer): Promise<void> {
    await earlier
    if (this.#hasFailed || bytes.length === 0) return
    try {
      await writeAll(this.#handle, bytes, this.#writtenBytes)
      this.#writtenBytes += bytes.length
    } catch (error) {
      this.#hasFailed = true
      this.#failure = error
    }
  }

  async #discard(): Promise<void> {
    // Closing and unlinking are tried both; what cannot be unlinked is in `tmp/` and goes with the clean-up.
    await this.#handle.close().catch(() => undefined)
    await unlinkIfThere(this.#context.disk, `${this.#folder.place.path}/tmp/${this.#file.name}`).catch(() => false)
    this.#end()
  }

  #end(): void {
    if (this.#state === 'done') return
    this.#state = 'done'
    this.#owner.release(this.#folder)
  }
}

function isGone(error: unknown): boolean {
  return isErrno(error, 'ENOENT') || (error instanceof StoreError && error.code === 'MAILDIR_MAILBOX_GONE')
}
