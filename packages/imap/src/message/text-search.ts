import { decoderFor } from './charset.ts'
import { decodeFieldText } from './encoded-words.ts'
import type { MessageReader } from './message-reader.ts'
import { parameter } from './parameters.ts'
import type { Part } from './structure.ts'
import { transferDecoder } from './transfer-encoding.ts'

/** Words that are looked for, in lower case and NFC. */
export interface WantedWords {
  /** Of BODY: no header field counts (RFC 9051 section 6.4.4), that of a message inside the message neither. */
  readonly body: ReadonlySet<string>
  /** Of TEXT: the headers of parts count, too. */
  readonly text: ReadonlySet<string>
}

/** Those of them that occur below the header of the message. */
export type FoundWords = WantedWords

/**
 * Looks for words in the texts of a message: its text parts, decoded, and the headers of its parts. Each part is read once
 * and in chunks, whatever the number of words; the search ends early when all were found.
 */
export async function findInBody(reader: MessageReader, wanted: WantedWords): Promise<FoundWords> {
  const texts = new WordFinder([...wanted.body, ...wanted.text])
  const headers = new WordFinder(wanted.text)
  const root = await reader.structure()
  /** Depth first, without recursion. */
  const waiting: Part[] = [root]
  for (let part = waiting.pop(); part !== undefined && !texts.isDone; part = waiting.pop()) {
    if (part !== root && !headers.isDone) {
      const { text } = await reader.headerAt(part.headerStart, part.bodyStart)
      headers.add(decodeFieldText(text.replaceAll(/\r?\n(?=[ \t])/g, '')))
      headers.breakHere()
      for (const word of headers.found) if (!wanted.body.has(word)) texts.forget(word)
    }
    if (part.message !== undefined) waiting.push(part.message)
    for (const child of part.children.toReversed()) waiting.push(child)
    if (part.fields.type.toLowerCase() === 'text') await searchText(reader, part, texts)
  }
  return { body: texts.found, text: texts.found.union(headers.found) }
}

async function searchText(reader: MessageReader, part: Part, finder: WordFinder): Promise<void> {
  const decoder = transferDecoder(part.fields.encoding)
  const charset = decoderFor(parameter({ value: '', parameters: part.fields.parameters }, 'charset'))
  for await (const chunk of reader.range(part.bodyStart, part.bodyEnd)) {
    finder.add(charset.decode(decoder.push(chunk), { stream: true }))
    if (finder.isDone) return
  }
  finder.add(charset.decode(decoder.end()))
  finder.breakHere()
}

/** Looks for words in text that comes in pieces: as much of the end is kept as the longest word could begin in. */
class WordFinder {
  readonly found = new Set<string>()
  readonly #missing: Set<string>
  readonly #overlap: number
  #tail = ''

  constructor(words: Iterable<string>) {
    this.#missing = new Set(words)
    // Normalization may join characters, so a little more than the longest word.
    this.#overlap = Math.max(0, ...Array.from(this.#missing, (word) => word.length)) + 16
  }

  get isDone(): boolean {
    return this.#missing.size === 0
  }

  add(text: string): void {
    const searched = this.#tail + text.normalize('NFC').toLowerCase()
    for (const word of this.#missing) {
      if (!searched.includes(word)) continue
      this.found.add(word)
      this.#missing.delete(word)
    }
    this.#tail = searched.slice(-this.#overlap)
  }

  /** The word was found elsewhere. */
  forget(word: string): void {
    this.#missing.delete(word)
  }

  /** Nothing is found across the end of a part. */
  breakHere(): void {
    this.#tail = ''
  }
}
