import type { OpenFile } from './local-file.ts'

/** A file that stayed open, and which one it is: no other file has its number as long as it is open. */
export interface KeptFile {
  readonly file: OpenFile
  readonly ino: bigint
}

/** Files that stay open from one use to the next, at most one for each owner and so many of all; those used longest ago go. */
export class KeptFiles {
  readonly #most: number
  /** Oldest first. What is in use is not here. */
  readonly #kept = new Map<object, KeptFile>()
  #isClosed = false

  constructor(most: number) {
    this.#most = most
  }

  /** The owner's file, which is its own until it is given back. */
  take(owner: object): KeptFile | undefined {
    const kept = this.#kept.get(owner)
    this.#kept.delete(owner)
    return kept
  }

  /** Instead of closing it; after the end of all it is closed. */
  async keep(owner: object, file: KeptFile): Promise<void> {
    if (this.#isClosed) {
      await file.file.close()
      return
    }
    this.#kept.set(owner, file)
    const [oldest] = this.#kept.keys()
    if (this.#kept.size > this.#most && oldest !== undefined) await this.drop(oldest)
  }

  /** The owner is done. */
  async drop(owner: object): Promise<void> {
    await this.take(owner)?.file.close()
  }

  async close(): Promise<void> {
    this.#isClosed = true
    await Promise.all([...this.#kept.keys()].map((owner) => this.drop(owner)))
  }
}
