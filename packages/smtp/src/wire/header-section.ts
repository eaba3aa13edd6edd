const lf = 0x0a
const cr = 0x0d
const received = Buffer.from('received:', 'latin1')

/** Watches the header section of a message pass: its size, and how many hops its Received fields tell of. */
export class HeaderSection {
  /** Fields named Received (RFC 5321 §6.3). */
  hops = 0
  /** Octets so far. */
  bytes = 0
  /** The empty line has passed. */
  isOver = false
  /** Octets of the line under way. */
  #lineBytes = 0
  /** Octets at its start that spell `received:`; -1 when it is another line. */
  #spelled = 0
  #beganWithCr = false

  /** @param content - the next piece of the message, un-stuffed, cut anywhere. */
  scan(content: Buffer): void {
    let at = 0
    while (!this.isOver && at < content.length) {
      if (this.#lineBytes === 0) this.#beganWithCr = content[at] === cr
      const found = content.indexOf(lf, at)
      const end = found === -1 ? content.length : found
      if (this.#spelled !== -1) this.#spell(content, at, end)
      this.#lineBytes += end - at
      this.bytes += end - at
      if (found === -1) return
      this.bytes++
      this.isOver = this.#lineBytes === 0 || (this.#lineBytes === 1 && this.#beganWithCr)
      this.#lineBytes = 0
      this.#spelled = 0
      at = found + 1
    }
  }

  /** Field names are compared without regard to case, which in ASCII is one bit. */
  #spell(content: Buffer, from: number, end: number): void {
    for (let at = from; at < end; at++) {
      if ((content[at]! | 0x20) !== (received[this.#spelled]! | 0x20)) {
        this.#spelled = -1
        return
      }
      if (++this.#spelled === received.length) {
        this.hops++
        this.#spelled = -1
        return
      }
    }
  }
}
