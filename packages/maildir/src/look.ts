import { baseOf } from './filename.ts'
import type { KnownMessages } from './known-messages.ts'
import type { FoundFile } from './measure.ts'

/** What reading the folders brings. Messages that are known, and lines of the UID list, meet their files at once. */
export class Look {
  /** Base names of known messages that were there. */
  readonly seen: Set<string> = new Set()
  /** Files without UID, by base name. */
  readonly fresh: Map<string, FoundFile> = new Map()
  /** Files with the base name of a message that has another name: it was renamed, or this is a second one. */
  readonly twins: FoundFile[] = []
  /** No message was known before: none can be missing, and `seen` needs none of those that this look met. */
  readonly isFirst: boolean
  readonly #known: KnownMessages

  constructor(known: KnownMessages) {
    this.#known = known
    this.isFirst = known.size === 0
  }

  take(name: string, isNew: boolean): void {
    const base = baseOf(name)
    const message = this.#known.byBase.get(base)
    if (message?.file === name && message.isNew === isNew) {
      this.seen.add(base)
      return
    }
    // A line without a message was met by no file of this look, and its base name is none of the fresh ones.
    const line = message === undefined ? this.#known.unseen.get(base) : undefined
    if (line !== undefined) {
      if (!this.isFirst) this.seen.add(base)
      this.#known.meet(line, { name, isNew }, base)
    } else if (message !== undefined || this.seen.has(base) || this.fresh.has(base)) {
      if (message !== undefined) this.seen.add(base)
      this.twins.push({ name, isNew })
    } else {
      this.fresh.set(base, { name, isNew })
    }
  }
}
