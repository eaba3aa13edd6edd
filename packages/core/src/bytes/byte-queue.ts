/**
 * Received bytes, in order, taken in pieces. What is pushed is not copied as long as it is used up before `keep` or the
 * next `push`; what is left over then is copied once, so the received chunk is never held on to.
 */
export class ByteQueue {
  #bytes: Buffer = empty
  #start = 0
  #end = 0
  /** `#bytes` is ours: it may be written to and kept. */
  #isOwned = false

  /** How many bytes wait. */
  get length(): number {
    return this.#end - this.#start
  }

  /** Adds what was received. The chunk is viewed until `keep` or the next `push`, and not longer. */
  push(chunk: Buffer): void {
    if (this.length === 0) {
      this.#bytes = chunk
      this.#start = 0
      this.#end = chunk.length
      this.#isOwned = false
      return
    }
    this.#makeRoom(chunk.length)
    chunk.copy(this.#bytes, this.#end)
    this.#end += chunk.length
  }

  /** The received chunk is about to become invalid: copies what is left of it. */
  keep(): void {
    if (this.length === 0) this.clear()
    else this.#makeRoom(0)
  }

  /** Everything that waits: a view, valid until the next `push` or `keep`. */
  peek(): Buffer {
    return this.#bytes.subarray(this.#start, this.#end)
  }

  /** Takes up to `maxBytes`: a view, valid until the next `push` or `keep`. */
  take(maxBytes: number): Buffer {
    const end = Math.min(this.#end, this.#start + maxBytes)
    const taken = this.#bytes.subarray(this.#start, end)
    this.#start = end
    return taken
  }

  /** Drops up to `maxBytes`; returns how many. */
  drop(maxBytes: number): number {
    const dropped = Math.min(this.length, maxBytes)
    this.#start += dropped
    return dropped
  }

  /** The offset of the first LF at or behind `from`, counted from the first byte that waits; -1 when there is none. */
  indexOfLf(from: number = 0): number {
    const at = this.#bytes.indexOf(0x0a, this.#start + from)
    return at === -1 || at >= this.#end ? -1 : at - this.#start
  }

  /** Forgets everything, as STARTTLS demands. */
  clear(): void {
    this.#bytes = empty
    this.#start = this.#end = 0
    this.#isOwned = false
  }

  /** Makes the buffer ours, with room for `more` bytes behind what waits. Doubling keeps many small pushes linear. */
  #makeRoom(more: number): void {
    const { length } = this
    if (this.#isOwned && this.#end + more <= this.#bytes.length) return
    const owned = Buffer.allocUnsafe(Math.max(length + more, this.#isOwned ? 2 * length : length))
    this.#bytes.copy(owned, 0, this.#start, this.#end)
    this.#bytes = owned
    this.#start = 0
    this.#end = length
    this.#isOwned = true
  }
}

const empty = Buffer.alloc(0)
