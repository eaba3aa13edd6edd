import type { Flag, MessageRecord, ObjectId, Uid } from '@postern/core'
import { baseOf, emailIdOf, lettersOf, savedDateOf } from './filename.ts'
import type { MessageState } from './journal.ts'
import type { Keywords } from './keywords.ts'
import type { UidLine } from './uidlist.ts'

/** Of a message that the journal does not know yet. */
export const unknownState: MessageState = { letters: '', extra: 0n, modseq: 0 }

/**
 * A message as a session may see it, and where its file is. Never changed: other flags are another object, so two looks
 * at a mailbox are compared by identity. A hundred thousand of them are kept, hence few fields and shared arrays.
 */
export class StoredMessage implements MessageRecord {
  readonly uid: Uid
  readonly flags: readonly Flag[]
  readonly bytes: number
  /** Of the file; less than `bytes` when its lines end with LF. */
  readonly rawBytes: number
  /** File name, a character for each byte. */
  readonly file: string
  /** In `new/`, where no session took it yet. */
  readonly isNew: boolean
  /** What the journal says of it; its letters may lag behind those of the file. */
  readonly state: MessageState
  readonly #dateMs: number

  /** @param letters - those of the file, when the caller knows them. */
  constructor(
    line: Omit<UidLine, 'base'>,
    file: string,
    isNew: boolean,
    state: MessageState,
    keywords: Keywords,
    letters: string = lettersOf(file),
  ) {
    this.uid = line.uid
    this.bytes = line.bytes
    this.rawBytes = line.rawBytes
    this.#dateMs = line.dateMs
    this.file = file
    this.isNew = isNew
    this.state = state
    this.flags = keywords.flagsOf({ letters, extra: state.extra })
  }

  get internalDate(): Date {
    return new Date(this.#dateMs)
  }

  get dateMs(): number {
    return this.#dateMs
  }

  get base(): string {
    return baseOf(this.file)
  }

  get letters(): string {
    return lettersOf(this.file)
  }

  get modseq(): bigint {
    return BigInt(this.state.modseq)
  }

  get emailId(): ObjectId {
    return emailIdOf(this.base)
  }

  get savedDate(): Date | undefined {
    return savedDateOf(this.file)
  }

  at(file: string, isNew: boolean, keywords: Keywords): StoredMessage {
    return new StoredMessage(this, file, isNew, this.state, keywords)
  }

  as(state: MessageState, keywords: Keywords): StoredMessage {
    return new StoredMessage(this, this.file, this.isNew, state, keywords)
  }
}

/** Where a UID is in messages that ascend by UID, or -1. */
export function indexOfUid(messages: readonly StoredMessage[], uid: Uid): number {
  let low = 0
  let high = messages.length - 1
  while (low <= high) {
    const middle = (low + high) >> 1
    const found = messages[middle]?.uid ?? 0
    if (found === uid) return middle
    if (found < uid) low = middle + 1
    else high = middle - 1
  }
  return -1
}
