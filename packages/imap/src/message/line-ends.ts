const LF = 10
const CR = 13

/** Makes every LF a CRLF, chunk by chunk: stores keep messages with the line ends of the standards. */
export class CrlfNormalizer {
  #last = 0

  /** The result is `chunk` itself when nothing needs to change. */
  push(chunk: Buffer): Buffer {
    const pieces: Buffer[] = []
    let from = 0
    for (let lf = chunk.indexOf(LF); lf !== -1; lf = chunk.indexOf(LF, lf + 1)) {
      if ((lf === 0 ? this.#last : chunk[lf - 1]) === CR) continue
      pieces.push(chunk.subarray(from, lf), carriageReturn)
      from = lf
    }
    this.#last = chunk.at(-1) ?? this.#last
    if (pieces.length === 0) return chunk
    pieces.push(chunk.subarray(from))
    return Buffer.concat(pieces)
  }
}

const carriageReturn: Buffer = Buffer.from([CR])
