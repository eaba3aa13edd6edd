/*
 * The header section of a message as it passes (RFC 5322 §2.1): how big it is, how many hops it tells of, and the few
 * things that a server must change in it before it hands it on:
 *
 *   Authentication-Results   a field that bears our name would be read as our word, so it is taken out (RFC 8601 §5).
 *   Date, Message-ID         what a user's program left out is added at the end of the section (RFC 6409 §8.2, §8.3).
 *
 * Lines are judged whole. A line that is cut waits for its end, up to `maxHeldBytes`; all else is handed on as a view of
 * what was received, and behind the empty line nothing is looked at any more.
 */

/** Octets of a line, or of a field whose author is not known yet, that wait. Nobody's server name stands behind them. */
const maxHeldBytes = 4_096

const lf = 0x0a
const cr = 0x0d
const tab = 0x09
const space = 0x20
const colon = 0x3a
const nothing = Buffer.alloc(0)
const lineEnd = Buffer.from('\r\n')

/** RFC 5322 §3.6.8: field-name = 1*ftext. White space before the colon is obsolete (§4.5), and still read by many. */
const fieldStart = /^([\x21-\x39\x3b-\x7e]+)[ \t]*:/

/** What the names begin with that matter in every message: Received, Authentication-Results. */
const named: ReadonlySet<number> = new Set(Buffer.from('RrAa'))

export interface HeaderRules {
  /** Authentication-Results of this server are taken out, whoever wrote them. */
  readonly authservId: string
  /** Fields that are added when the section has none of their name: lower-case name to whole field. */
  readonly missing: ReadonlyMap<string, string>
}

export class HeaderSection {
  /** Fields named Received (RFC 5321 §6.3). */
  hops = 0
  /** Octets so far, as they came. */
  bytes = 0
  /** The empty line has passed. */
  isOver = false

  readonly #authservId: string
  readonly #missing: Map<string, string>
  /** The start of a line whose end has not come. */
  #cut: Buffer = nothing
  /** The rest of a line that was judged by its start is under way. */
  #isInLine = false
  /** What becomes of the field under way, and of its continuation lines. */
  #field: 'pass' | 'drop' | 'undecided' = 'pass'
  /** An Authentication-Results field whose author is not known yet: looked for once, when all that may wait is there. */
  #undecided: Buffer[] = []
  #undecidedBytes = 0
  #hasFields = false
  #out: Buffer[] = []

  constructor({ authservId, missing }: HeaderRules) {
    this.#authservId = authservId.toLowerCase()
    this.#missing = new Map(missing)
  }

  /**
   * @param content - the next piece of the message, un-stuffed, cut anywhere.
   * @returns what is handed on: a view of `content` where that is possible.
   */
  pass(content: Buffer): Buffer {
    if (this.isOver) return content
    const bytes = this.#cut.length === 0 ? content : Buffer.concat([this.#cut, content])
    this.bytes -= this.#cut.length
    this.#cut = nothing
    this.#out = []
    let at = 0
    /** Where the lines begin that pass without a look and were not handed on yet. */
    let passing = 0
    while (!this.isOver && at < bytes.length) {
      const found = bytes.indexOf(lf, at)
      const end = found === -1 ? bytes.length : found + 1
      if (found !== -1 && this.#passesUnseen(bytes[at]!)) {
        this.bytes += end - at
        at = end
        continue
      }
      if (passing < at) this.#put(bytes.subarray(passing, at))
      passing = end
      const line = bytes.subarray(at, end)
      this.bytes += line.length
      at = end
      if (this.#isInLine) this.#hand(line)
      else if (found !== -1 || line.length > maxHeldBytes) this.#judge(line)
      else this.#cut = Buffer.from(line)
      this.#isInLine = found === -1 && this.#cut.length === 0
    }
    if (passing < bytes.length) this.#put(bytes.subarray(passing))
    return this.#joined()
  }

  /** The message is over. @returns what was held back, and what is missing when the section has no end. */
  end(): Buffer {
    if (this.isOver) return nothing
    this.#out = []
    const hasOpenLine = this.#cut.length > 0 || this.#isInLine
    if (this.#cut.length > 0) this.#judge(this.#cut)
    this.#endField()
    if (hasOpenLine && this.#missing.size > 0) this.#put(lineEnd)
    this.#addMissing()
    this.isOver = true
    return this.#joined()
  }

  // ── lines ─────────────────────────────────────────────────────────────────

  /** A line that begins so, and goes on, is none whose name matters, and belongs to no field that is held back. */
  #passesUnseen(first: number): boolean {
    if (this.#isInLine || this.#field !== 'pass' || !this.#hasFields || this.#missing.size > 0) return false
    return first !== lf && first !== cr && !named.has(first)
  }

  /** @param line - a whole line with its end, or the start of a long one. */
  #judge(line: Buffer): void {
    const first = line[0]
    if (first === lf || (first === cr && line[1] === lf)) {
      this.#endField()
      this.#addMissing()
      this.#put(line)
      this.isOver = true
      return
    }
    if ((first === space || first === tab) && this.#hasFields) {
      this.#hand(line)
      return
    }
    this.#endField()
    const start = line.toString('latin1', 0, Math.min(line.indexOf(colon) + 1, maxHeldBytes))
    const name = fieldStart.exec(start)?.[1]?.toLowerCase()
    if (name === undefined) this.#judgeStray()
    else this.#hasFields = true
    if (name === 'received') this.hops++
    if (name !== undefined) this.#missing.delete(name)
    if (name === 'authentication-results') this.#field = 'undecided'
    this.#hand(line)
  }

  /** Readers end the section at a line that is no field, so what is missing must stand before it, and an empty line. */
  #judgeStray(): void {
    if (this.#missing.size === 0) return
    this.#addMissing()
    this.#put(lineEnd)
  }

  /** A piece of the field under way goes where the field goes. */
  #hand(line: Buffer): void {
    if (this.#field === 'pass') this.#put(line)
    if (this.#field !== 'undecided') return
    this.#undecided.push(Buffer.from(line))
    this.#undecidedBytes += line.length
    if (this.#undecidedBytes > maxHeldBytes) this.#decide()
  }

  #endField(): void {
    if (this.#field === 'undecided') this.#decide()
    this.#field = 'pass'
  }

  #decide(): void {
    const held = Buffer.concat(this.#undecided)
    const author = authservIdOf(held.toString('latin1', 0, maxHeldBytes)) ?? ''
    const name = author.toLowerCase().replace(/\.$/, '')
    // A field of nobody is nobody's word, but a lenient reader might take it for ours.
    this.#field = name === this.#authservId || name === '' ? 'drop' : 'pass'
    if (this.#field === 'pass') this.#put(held)
    this.#undecided = []
    this.#undecidedBytes = 0
  }

  #addMissing(): void {
    for (const field of this.#missing.values()) this.#put(Buffer.from(field))
    this.#missing.clear()
  }

  // ── what is handed on ─────────────────────────────────────────────────────

  /** Lines that lie side by side in memory stay one view. */
  #put(piece: Buffer): void {
    const last = this.#out.at(-1)
    if (last !== undefined && last.buffer === piece.buffer && last.byteOffset + last.length === piece.byteOffset) {
      this.#out[this.#out.length - 1] = Buffer.from(last.buffer, last.byteOffset, last.length + piece.length)
    } else {
      this.#out.push(piece)
    }
  }

  #joined(): Buffer {
    return this.#out.length === 1 ? this.#out[0]! : Buffer.concat(this.#out)
  }
}

/**
 * RFC 8601 §2.2: authres-payload = [CFWS] authserv-id [ CFWS authres-version ] ( no-result / 1*resinfo )
 *
 * @returns the authserv-id; `undefined` when its end has not come.
 */
function authservIdOf(field: string): string | undefined {
  let at = skipCfws(field, field.indexOf(':') + 1)
  if (field[at] === '"') {
    const quoted = /^"((?:[^"\\]|\\[^])*)"/.exec(field.slice(at))
    return quoted?.[1]?.replaceAll(/\\([^])/g, '$1')
  }
  const from = at
  while (at < field.length && !' \t\r\n;('.includes(field[at]!)) at++
  return at < field.length ? field.slice(from, at) : undefined
}

/** RFC 5322 §3.2.2: comments nest. Answers where they and white space end. */
function skipCfws(text: string, from: number): number {
  let depth = 0
  for (let at = from; at < text.length; at++) {
    const char = text[at]!
    if (depth > 0 && char === '\\') at++
    else if (char === '(') depth++
    else if (depth > 0) depth -= char === ')' ? 1 : 0
    else if (!' \t\r\n'.includes(char)) return at
  }
  return text.length
}
