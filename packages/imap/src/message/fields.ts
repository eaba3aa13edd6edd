/** One header field, as offsets into its block and a name in lower case. */
export interface HeaderField {
  readonly name: string
  /** Of the whole field, its folded lines and its last line end included. */
  readonly start: number
  readonly end: number
  /** Behind the colon. */
  readonly valueStart: number
}

/**
 * Walks over the fields of a header block (RFC 5322 section 2.2), one octet in each character. Lines that are no field
 * and continue none are passed over: they belong to nobody.
 */
export function* headerFields(block: string): Generator<HeaderField> {
  let at = 0
  let colon = -1
  while (at < block.length) {
    const start = at
    at = lineEnd(block, at)
    while (at < block.length && isBlank(block.charCodeAt(at))) at = lineEnd(block, at)
    // The colon that was too far for the lines before may be this one's.
    if (colon < start) colon = block.indexOf(':', start)
    if (colon === -1) return
    if (colon >= at) continue
    const name = block.slice(start, colon).trimEnd().toLowerCase()
    if (/^[!-9;-~]+$/.test(name)) yield { name, start, end: at, valueStart: colon + 1 }
  }
}

/** Unfolded: line ends are taken out, blanks stay, and the ends are trimmed (RFC 5322 section 2.2.3). */
export function fieldValue(block: string, field: HeaderField): string {
  return block
    .slice(field.valueStart, field.end)
    .replaceAll(/[\r\n\0]+/g, '')
    .trim()
}

/** Where the line that begins at `at` ends, its line end included. */
function lineEnd(block: string, at: number): number {
  const lf = block.indexOf('\n', at)
  return lf === -1 ? block.length : lf + 1
}

function isBlank(char: number): boolean {
  return char === 0x20 || char === 0x09
}

/**
 * Length of the header block in `bytes`, the empty line included.
 *
 * @param from - nothing before it needs to be looked at again.
 * @returns `undefined` when the empty line has not come yet.
 */
export function headerLength(bytes: Buffer, from: number): number | undefined {
  if (bytes[0] === 10) return 1
  if (bytes[0] === 13 && bytes[1] === 10) return 2
  return emptyLineEnd(bytes, Math.max(0, from - 2))
}

/** Where the first empty line behind `from` ends, when the line before it ends in `bytes` too. */
export function emptyLineEnd(bytes: Buffer, from: number): number | undefined {
  for (let lf = bytes.indexOf(10, from); lf !== -1; lf = bytes.indexOf(10, lf + 1)) {
    if (bytes[lf + 1] === 10) return lf + 2
    if (bytes[lf + 1] === 13 && bytes[lf + 2] === 10) return lf + 3
  }
  return undefined
}
