import type { ImapLimits } from '../limits.ts'

/*
 * Reads the arguments of a command (RFC 3501 section 9). The text holds one octet in each character, so nothing is
 * decoded before its charset is known. Every reader returns `undefined` and stays where it was when the grammar does
 * not fit; none throws, and none looks ahead further than it reads.
 */

const ATOM = 1
const ASTRING = 2
const LIST = 4
const TAG = 8

const maxNumber64 = 0x7fff_ffff_ffff_ffffn

/** What each octet may be part of. 8-bit octets are part of nothing outside strings. */
const classes: Uint8Array = classify()

function classify(): Uint8Array {
  const table = new Uint8Array(256)
  for (let octet = 0x21; octet < 0x7f; octet += 1) {
    const char = String.fromCharCode(octet)
    // atom-specials = "(" / ")" / "{" / SP / CTL / list-wildcards / quoted-specials / resp-specials
    const isAtomChar = !'(){%*"\\]'.includes(char) || char === '}'
    const isAstringChar = isAtomChar || char === ']'
    const isListChar = isAstringChar || char === '%' || char === '*'
    const isTagChar = isAstringChar && char !== '+'
    table[octet] =
      (isAtomChar ? ATOM : 0) | (isAstringChar ? ASTRING : 0) | (isListChar ? LIST : 0) | (isTagChar ? TAG : 0)
  }
  return table
}

export class Tokens {
  readonly text: string
  readonly limits: ImapLimits
  at: number

  constructor(text: string, limits: ImapLimits, at = 0) {
    this.text = text
    this.limits = limits
    this.at = at
  }

  get isAtEnd(): boolean {
    return this.at === this.text.length
  }

  /** Takes `char` when it comes next. */
  take(char: string): boolean {
    if (this.text[this.at] !== char) return false
    this.at += 1
    return true
  }

  /** Takes what separates: one space by the grammar. More of them mean no more than one (ADR 0039). */
  space(): boolean {
    const start = this.at
    while (this.text[this.at] === ' ') this.at += 1
    return this.at > start
  }

  /** Takes `word` in any case when it comes next and ends there. */
  word(word: string): boolean {
    const end = this.at + word.length
    if (this.text.slice(this.at, end).toUpperCase() !== word) return false
    if (end < this.text.length && (classes[this.text.charCodeAt(end)] ?? 0) & ASTRING) return false
    this.at = end
    return true
  }

  /** `tag = 1*<any ASTRING-CHAR except "+">` */
  tag(): string | undefined {
    return this.#run(TAG)
  }

  /** `atom = 1*ATOM-CHAR` */
  atom(): string | undefined {
    return this.#run(ATOM)
  }

  /** `astring = 1*ASTRING-CHAR / string` */
  astring(): string | undefined {
    return this.#run(ASTRING) ?? this.string()
  }

  /** `list-mailbox = 1*list-char / string` */
  listMailbox(): string | undefined {
    return this.#run(LIST) ?? this.string()
  }

  /** `string = quoted / literal` */
  string(): string | undefined {
    const next = this.text[this.at]
    if (next === '"') return this.#quoted()
    if (next === '{') return this.#literal()
    return undefined
  }

  /** `nstring = string / nil`; `null` for NIL. */
  nstring(): string | null | undefined {
    return this.word('NIL') ? null : this.string()
  }

  /** `number = 1*DIGIT`, at most 4294967295. */
  number(): number | undefined {
    const start = this.at
    let value = 0
    let at = start
    for (; at < this.text.length; at += 1) {
      const digit = this.text.charCodeAt(at) - 48
      if (digit < 0 || digit > 9) break
      value = value * 10 + digit
      if (value > 0xffff_ffff) return undefined
    }
    if (at === start) return undefined
    this.at = at
    return value
  }

  /**
   * `number64 = 1*DIGIT`, at most 9223372036854775807 (RFC 9051 section 9): octets of a message. What is above 2^53 - 1, and more
   * than any message has, is taken for that.
   */
  number64(): number | undefined {
    const start = this.at
    let at = start
    while (at < this.text.length && '0123456789'.includes(this.text.charAt(at))) at += 1
    const digits = this.text.slice(start, at).replace(/^0+(?=\d)/, '')
    if (digits === '' || digits.length > 19 || BigInt(digits) > maxNumber64) return undefined
    this.at = at
    return Math.min(Number(digits), Number.MAX_SAFE_INTEGER)
  }

  /** The characters of a sequence set, to be read by `parseSequenceSet`. */
  sequenceSet(): string | undefined {
    const start = this.at
    let at = start
    while (at < this.text.length && '0123456789:,*'.includes(this.text.charAt(at))) at += 1
    if (at === start) return undefined
    this.at = at
    return this.text.slice(start, at)
  }

  /** `"(" [element *(SP element)] ")"` with a bound on the elements; spaces inside the parentheses are let through. */
  list<T>(element: () => T | undefined): T[] | undefined {
    const start = this.at
    const elements: T[] = []
    if (this.take('(')) {
      this.space()
      if (this.take(')')) return elements
      for (;;) {
        const value = element()
        if (value === undefined || elements.length >= this.limits.maxListElements) break
        elements.push(value)
        const isSeparated = this.space()
        if (this.take(')')) return elements
        if (!isSeparated) break
      }
    }
    this.at = start
    return undefined
  }

  #run(charClass: number): string | undefined {
    const start = this.at
    let at = start
    while (at < this.text.length && (classes[this.text.charCodeAt(at)] ?? 0) & charClass) at += 1
    if (at === start) return undefined
    this.at = at
    return this.text.slice(start, at)
  }

  /**
   * `quoted = DQUOTE *QUOTED-CHAR DQUOTE`. 8-bit octets are let through: many clients send UTF-8 passwords and search
   * words so, and what they mean is decided by whoever decodes them.
   */
  #quoted(): string | undefined {
    let value = ''
    let from = this.at + 1
    for (let at = from; at < this.text.length; at += 1) {
      const char = this.text.charCodeAt(at)
      if (char === 0x22) {
        value += this.text.slice(from, at)
        this.at = at + 1
        return value
      }
      if (char === 0x5c) {
        const escaped = this.text.charCodeAt(at + 1)
        if (escaped !== 0x22 && escaped !== 0x5c) return undefined
        value += this.text.slice(from, at)
        at += 1
        from = at
      } else if (char === 0 || char === 0x0d || char === 0x0a) {
        return undefined
      }
    }
    return undefined
  }

  /** `literal = "{" number ["+"] "}" CRLF *CHAR8`; CHAR8 is any octet but NUL. */
  #literal(): string | undefined {
    literalHead.lastIndex = this.at
    const head = literalHead.exec(this.text)
    if (head === null) return undefined
    const start = literalHead.lastIndex
    const end = start + Number(head[1])
    if (end > this.text.length) return undefined
    const value = this.text.slice(start, end)
    if (value.includes('\0')) return undefined
    this.at = end
    return value
  }
}

const literalHead = /\{(\d{1,10})\+?\}\r?\n/y
