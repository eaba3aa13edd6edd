import type { Uid } from '@postern/core'
import { Keywords } from './keywords.ts'
import type { FoundFile } from './measure.ts'
import { indexOfUid, StoredMessage } from './message.ts'
import type { UidLine } from './uidlist.ts'

/** What this process knows of a mailbox's messages. Nothing here looks at the disk. */
export class KnownMessages {
  /** Messages in place, ascending by UID; a new array at each change. */
  messages: readonly StoredMessage[] = []
  keywords: Keywords = new Keywords()
  /** In no order of UIDs. Holds what `messages` holds, between two looks perhaps more or less. */
  readonly byBase: Map<string, StoredMessage> = new Map()
  /** Lines of the UID list whose file was not seen yet, by base name. */
  readonly unseen: Map<string, UidLine> = new Map()
  /** Some message may be in `new`. */
  mayHaveNew = false
  #isChanged = false

  find(uid: Uid): StoredMessage | undefined {
    const at = indexOfUid(this.messages, uid)
    return at < 0 ? undefined : this.messages[at]
  }

  put(message: StoredMessage): void {
    this.byBase.set(message.base, message)
    this.mayHaveNew ||= message.isNew
    this.#isChanged = true
  }

  /** The file of a line was found. */
  meet(line: UidLine, file: FoundFile): void {
    this.unseen.delete(line.base)
    this.put(new StoredMessage(line, file.name, file.isNew, this.keywords))
  }

  /** After our own rename, link or unlink, made under the lock: the new file name, or that it is gone. */
  note(message: StoredMessage, moved: FoundFile | undefined): StoredMessage | undefined {
    this.#isChanged = true
    const known = this.byBase.get(message.base)
    if (moved === undefined) {
      if (known?.uid === message.uid) this.byBase.delete(message.base)
      return undefined
    }
    const next = message.at(moved.name, moved.isNew, this.keywords)
    this.put(next)
    return next
  }

  /** What the UID list says, all of it. False when messages that were known are none of its lines. */
  takeLines(lines: Iterable<UidLine>): boolean {
    let isAsKnown = true
    this.unseen.clear()
    for (const line of lines) this.unseen.set(line.base, line)
    for (const [base, message] of this.byBase) {
      if (this.unseen.get(base)?.uid === message.uid) {
        this.unseen.delete(base)
      } else {
        this.byBase.delete(base)
        isAsKnown = false
      }
    }
    this.#isChanged = true
    return isAsKnown
  }

  /** A line that was appended to the UID list. */
  takeLine(line: UidLine): void {
    if (this.byBase.get(line.base)?.uid !== line.uid) this.unseen.set(line.base, line)
  }

  /** A UID that the list says is expunged. */
  takeExpunged(uid: Uid): void {
    this.#isChanged = true
    const message = this.find(uid)
    if (message !== undefined && this.byBase.get(message.base)?.uid === uid) this.byBase.delete(message.base)
    for (const [base, line] of this.unseen) if (line.uid === uid) this.unseen.delete(base)
  }

  /** Lines whose files are nowhere are lines of the dead. */
  forgetUnseen(): void {
    this.unseen.clear()
    this.#isChanged = true
  }

  /** The table of keywords, as it is now. */
  useKeywords(keywords: Keywords): void {
    if (keywords.names.join(' ') === this.keywords.names.join(' ')) return
    this.keywords = keywords
    for (const [base, message] of this.byBase) {
      if (/[a-z]/.test(message.letters)) this.byBase.set(base, message.at(message.file, message.isNew, keywords))
    }
    this.#isChanged = true
  }

  /** Whether a message of a folder that was read was not seen in it. */
  isAnyMissing(seen: ReadonlySet<string>, readNew: boolean, readCur: boolean): boolean {
    if (!readNew && !readCur) return false
    for (const [base, message] of this.byBase) {
      if ((message.isNew ? readNew : readCur) && !seen.has(base)) return true
    }
    return false
  }

  /** Shows sessions what changed since the last time. */
  publish(): void {
    if (!this.#isChanged) return
    this.messages = [...this.byBase.values()].sort((a, b) => a.uid - b.uid)
    this.#isChanged = false
  }
}
