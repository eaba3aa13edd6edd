/**
 * One address as ENVELOPE tells it (RFC 3501 section 7.4.2), one octet in each character. A group opens with a mailbox
 * and no host, and closes with neither.
 */
export interface EnvelopeAddress {
  readonly name?: string
  /** Source route (obsolete). */
  readonly route?: string
  readonly mailbox?: string
  readonly host?: string
}

/**
 * Reads an address-list (RFC 5322 section 3.4, with its obsolete forms), never refusing: what makes no sense becomes a
 * mailbox without a host name, so that the reader sees that something stood there. One pass, no look-back.
 *
 * @param max - addresses that are read; the rest of the value is not looked at.
 */
export function parseAddressList(value: string, max: number): EnvelopeAddress[] {
  return new AddressReader(value).read(max)
}

class AddressReader {
  readonly #text: string
  readonly #addresses: EnvelopeAddress[] = []
  #at = 0
  /** Words of a phrase or a local-part; what stood without blanks between is one word. */
  #words: string[] = []
  #isAfterBlank = true
  #comment: string | undefined
  #isInGroup = false
  /** Where each was found last: it is looked for again only behind that, so the text is gone through once. */
  readonly #found: Record<':' | '>' | ',', number> = { ':': -1, '>': -1, ',': -1 }

  constructor(text: string) {
    this.#text = text
  }

  read(max: number): EnvelopeAddress[] {
    while (this.#at < this.#text.length && this.#addresses.length < max) this.#step()
    if (this.#addresses.length < max) this.#endAddress()
    if (this.#isInGroup) this.#addresses.push({})
    return this.#addresses
  }

  #step(): void {
    const char = this.#text.charAt(this.#at)
    switch (char) {
      case ' ':
      case '\t':
        this.#at += 1
        this.#isAfterBlank = true
        return
      case '(':
        this.#comment = this.#readComment()
        this.#isAfterBlank = true
        return
      case '"':
        this.#addWord(this.#readQuoted())
        return
      case '<':
        this.#at += 1
        this.#readAngle()
        return
      case '@':
        this.#at += 1
        this.#readHost()
        return
      case ',':
        this.#at += 1
        this.#endAddress()
        return
      case ':':
        this.#at += 1
        if (this.#isInGroup) return
        this.#isInGroup = true
        this.#addresses.push({ mailbox: this.#words.join(' ') })
        this.#forget()
        return
      case ';':
        this.#at += 1
        this.#endAddress()
        if (this.#isInGroup) this.#addresses.push({})
        this.#isInGroup = false
        return
      default:
        this.#addWord(this.#readAtom(atomEnd))
    }
  }

  /** `angle-addr = "<" [obs-route] addr-spec ">"`; the phrase before it is the name. */
  #readAngle(): void {
    // `""` is a phrase that names nobody.
    const phrase = this.#words.join(' ')
    const name = phrase === '' ? this.#comment : phrase
    this.#forget()
    let route: string | undefined
    this.#skipBlanks()
    if (this.#text[this.#at] === '@') {
      const colon = this.#next(':')
      if (colon < this.#next('>')) {
        route = this.#text.slice(this.#at, colon).replaceAll(/\s+/g, '')
        this.#at = colon + 1
      }
    }
    let local = ''
    while (this.#at < this.#text.length && !'@>'.includes(this.#text.charAt(this.#at))) {
      const char = this.#text.charAt(this.#at)
      if (char === '"') local += this.#readQuoted()
      else if (char === '(') this.#readComment()
      else if (char === ' ' || char === '\t') this.#at += 1
      else local += this.#readAtom(angleEnd)
    }
    let host = ''
    if (this.#text[this.#at] === '@') {
      this.#at += 1
      host = this.#readDomain()
    }
    const close = this.#next('>')
    const comma = this.#next(',')
    // An angle that never closes ends where the next address begins.
    this.#at = close < comma ? close + 1 : comma
    if (name === undefined && local === '' && host === '') return
    this.#addresses.push({
      ...(name === undefined ? {} : { name }),
      ...(route === undefined ? {} : { route }),
      mailbox: local,
      host,
    })
  }

  /** `addr-spec` without angles: the last word is the local-part; words before it, and a comment after it, are a name. */
  #readHost(): void {
    const mailbox = this.#words.pop() ?? ''
    const phrase = this.#words.join(' ')
    this.#forget()
    const host = this.#readDomain()
    this.#skipBlanks()
    const comment = this.#text[this.#at] === '(' ? this.#readComment() : undefined
    const name = phrase === '' ? comment : phrase
    this.#addresses.push({ ...(name === undefined ? {} : { name }), mailbox, host })
  }

  #endAddress(): void {
    if (this.#words.length > 0) {
      const name = this.#comment
      this.#addresses.push({ ...(name === undefined ? {} : { name }), mailbox: this.#words.join(' '), host: '' })
    }
    this.#forget()
  }

  #forget(): void {
    this.#words = []
    this.#comment = undefined
    this.#isAfterBlank = true
  }

  #addWord(word: string): void {
    const last = this.#words.length - 1
    if (this.#isAfterBlank || last < 0) this.#words.push(word)
    else this.#words[last] += word
    this.#isAfterBlank = false
  }

  /** Where `char` stands next; the length of the text when it does not. */
  #next(char: ':' | '>' | ','): number {
    if (this.#found[char] < this.#at) {
      const at = this.#text.indexOf(char, this.#at)
      this.#found[char] = at === -1 ? this.#text.length : at
    }
    return this.#found[char]
  }

  #skipBlanks(): void {
    while (this.#text[this.#at] === ' ' || this.#text[this.#at] === '\t') this.#at += 1
  }

  #readAtom(end: RegExp): string {
    end.lastIndex = this.#at + 1
    const found = end.exec(this.#text)
    const stop = found === null ? this.#text.length : found.index
    const atom = this.#text.slice(this.#at, stop)
    this.#at = stop
    return atom
  }

  #readDomain(): string {
    let domain = ''
    // Of the last piece: to ask the whole domain each time would copy it each time.
    let endsWithDot = false
    while (this.#at < this.#text.length) {
      const char = this.#text.charAt(this.#at)
      if (char === '(' && domain === '') {
        this.#readComment()
        continue
      }
      if (',;>('.includes(char)) break
      if (char === '<' || char === ':' || char === '"') break
      if (char === ' ' || char === '\t') {
        // Blanks are allowed around dots only; anything else after them is no part of the domain.
        this.#skipBlanks()
        if (this.#text[this.#at] !== '.' && domain !== '' && !endsWithDot) break
        continue
      }
      if (char === '[') {
        const close = this.#text.indexOf(']', this.#at)
        const stop = close === -1 ? this.#text.length : close + 1
        domain += this.#text.slice(this.#at, stop)
        endsWithDot = false
        this.#at = stop
      } else {
        const atom = this.#readAtom(domainEnd)
        domain += atom
        endsWithDot = atom.endsWith('.')
      }
    }
    return domain
  }

  /** A quoted-string without its quotes and backslashes; an unfinished one runs to the end. */
  #readQuoted(): string {
    let value = ''
    let from = this.#at + 1
    for (;;) {
      quotedStop.lastIndex = from
      const stop = quotedStop.exec(this.#text)?.index ?? this.#text.length
      value += this.#text.slice(from, stop)
      if (this.#text[stop] !== '\\') {
        this.#at = Math.min(stop + 1, this.#text.length)
        return value
      }
      value += this.#text.charAt(stop + 1)
      from = stop + 2
    }
  }

  /** Nested comments are counted, not recursed into; what is inside them stays as it stands. */
  #readComment(): string {
    const start = this.#at + 1
    let depth = 0
    let at = this.#at
    for (; at < this.#text.length; at += 1) {
      const char = this.#text.charCodeAt(at)
      if (char === 0x5c) at += 1
      else if (char === 0x28) depth += 1
      else if (char === 0x29) {
        depth -= 1
        if (depth === 0) break
      }
    }
    this.#at = Math.min(at + 1, this.#text.length)
    return this.#text.slice(start, Math.min(at, this.#text.length)).replaceAll(/\\(.)/g, '$1').trim()
  }
}

const atomEnd = /[ \t("<@,:;]/g
const angleEnd = /[ \t("@>]/g
const domainEnd = /[ \t(",;:<>[]/g
const quotedStop = /["\\]/g
