/*
 * Which line of a TOML document says what. The TOML library gives positions of syntax errors only; a problem in a value
 * should name its line too. So this scanner walks the same text once more and notes where each key, table and array
 * element begins. It runs on documents that the library has accepted, and therefore checks nothing: it needs to know
 * strings, comments and brackets, and no values.
 */
import { formatKeyPath, type KeyPath } from './key-path.ts'

/** Lines are counted from 1. A path that is not in the document gives the line of its nearest parent that is, or 1. */
export interface TomlLines {
  lineOf(path: KeyPath): number
}

export function locateTomlLines(text: string): TomlLines {
  const scanner = new Scanner(text)
  scanner.document()
  return {
    lineOf(path) {
      for (let length = path.length; length > 0; length -= 1) {
        const line = scanner.lines.get(formatKeyPath(path.slice(0, length)))
        if (line !== undefined) return line
      }
      return 1
    },
  }
}

class Scanner {
  readonly lines = new Map<string, number>()
  readonly #text: string
  #at = 0
  #line = 1
  /** Elements seen of each array of tables, by path. */
  readonly #tableCounts = new Map<string, number>()

  constructor(text: string) {
    this.#text = text
  }

  document(): void {
    let table: KeyPath = []
    for (;;) {
      this.#blank('across lines')
      if (this.#at >= this.#text.length) return
      if (this.#peek() === '[') table = this.#tableHeader()
      else this.#keyAndValue(table)
    }
  }

  /** `[a.b]`, or `[[a.b]]`, which begins the next element of an array. */
  #tableHeader(): KeyPath {
    const isArray = this.#text.startsWith('[[', this.#at)
    const line = this.#line
    this.#at += isArray ? 2 : 1
    const path = this.#withElements(this.#key())
    this.#at += isArray ? 2 : 1
    if (!isArray) {
      this.#note(path, line)
      return path
    }
    const text = formatKeyPath(path)
    const index = this.#tableCounts.get(text) ?? 0
    this.#tableCounts.set(text, index + 1)
    const element = [...path, index]
    this.#note(element, line)
    return element
  }

  /** A header under an array of tables means its last element: `[a.b]` behind `[[a]]` is `a[n].b`. */
  #withElements(key: readonly string[]): KeyPath {
    const path: (string | number)[] = []
    for (const [index, part] of key.entries()) {
      path.push(part)
      const count = this.#tableCounts.get(formatKeyPath(path))
      if (count !== undefined && index < key.length - 1) path.push(count - 1)
    }
    return path
  }

  #keyAndValue(table: KeyPath): void {
    const line = this.#line
    const path = [...table, ...this.#key()]
    this.#note(path, line)
    this.#at += 1 // the equals sign
    this.#value(path)
  }

  /** A dotted key; ends before `=` or `]`. */
  #key(): string[] {
    const parts: string[] = []
    for (;;) {
      this.#blank('in the line')
      const character = this.#peek()
      if (character === '"' || character === "'") {
        parts.push(this.#quotedKey())
      } else {
        const start = this.#at
        while (/[A-Za-z0-9_-]/.test(this.#peek())) this.#at += 1
        parts.push(this.#text.slice(start, this.#at))
      }
      this.#blank('in the line')
      if (this.#peek() !== '.') return parts
      this.#at += 1
    }
  }

  #quotedKey(): string {
    const start = this.#at
    this.#string()
    const quoted = this.#text.slice(start, this.#at)
    if (quoted.startsWith("'")) return quoted.slice(1, -1)
    try {
      return String(JSON.parse(quoted))
    } catch {
      return quoted.slice(1, -1) // an escape that JSON lacks (\e, \x, \U): near enough to find a line
    }
  }

  #value(path: KeyPath): void {
    this.#blank('across lines')
    const character = this.#peek()
    if (character === '"' || character === "'") this.#string()
    else if (character === '[') this.#array(path)
    else if (character === '{') this.#inlineTable(path)
    else while (this.#at < this.#text.length && !/[\n,\]}#]/.test(this.#peek())) this.#at += 1
  }

  #array(path: KeyPath): void {
    this.#at += 1
    for (let index = 0; ; index += 1) {
      this.#blank('across lines')
      if (this.#peek() === ']' || this.#at >= this.#text.length) break
      const element = [...path, index]
      this.#note(element, this.#line)
      this.#value(element)
      this.#blank('across lines')
      if (this.#peek() !== ',') break
      this.#at += 1
    }
    this.#at += 1
  }

  #inlineTable(path: KeyPath): void {
    this.#at += 1
    for (;;) {
      this.#blank('across lines')
      if (this.#peek() === '}' || this.#at >= this.#text.length) break
      this.#keyAndValue(path)
      this.#blank('across lines')
      if (this.#peek() !== ',') break
      this.#at += 1
    }
    this.#at += 1
  }

  /** One of the four kinds: basic and literal, each on one line or on several. */
  #string(): void {
    const quote = this.#peek()
    const isLong = this.#text.startsWith(quote.repeat(3), this.#at)
    const end = isLong ? quote.repeat(3) : quote
    this.#at += end.length
    while (this.#at < this.#text.length && !this.#text.startsWith(end, this.#at)) {
      if (quote === '"' && this.#peek() === '\\') this.#at += 1
      if (this.#peek() === '\n') this.#line += 1
      this.#at += 1
    }
    this.#at += end.length
    // A long string may end in up to two quotes of its own before the three that close it.
    if (isLong) while (this.#peek() === quote) this.#at += 1
  }

  #blank(reach: 'in the line' | 'across lines'): void {
    for (; this.#at < this.#text.length; this.#at += 1) {
      const character = this.#peek()
      if (character === ' ' || character === '\t' || character === '\r') continue
      if (reach === 'in the line') return
      if (character === '\n') {
        this.#line += 1
      } else if (character === '#') {
        while (this.#at + 1 < this.#text.length && this.#text[this.#at + 1] !== '\n') this.#at += 1
      } else {
        return
      }
    }
  }

  #peek(): string {
    return this.#text[this.#at] ?? ''
  }

  /** The first mention counts, and a table that is only implied by a longer key is where that key stands. */
  #note(path: KeyPath, line: number): void {
    for (let length = 1; length <= path.length; length += 1) {
      const text = formatKeyPath(path.slice(0, length))
      if (!this.lines.has(text)) this.lines.set(text, line)
    }
  }
}
