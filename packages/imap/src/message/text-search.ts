import { decoderFor } from './charset.ts'
import { decodeFieldText } from './encoded-words.ts'
import type { MessageReader } from './message-reader.ts'
import { parameter } from './parameters.ts'
import type { Part } from './structure.ts'
import { transferDecoder } from './transfer-encoding.ts'

/**
 * Which of `words` occur in the texts of a message: its text parts, decoded, and the headers of its parts. Each part is
 * read once and in chunks, whatever the number of words; the search ends early when all were found.
 *
 * @param words - in lower case and NFC.
 */
export async function findInBody(reader: MessageReader, words: ReadonlySet<string>): Promise<ReadonlySet<string>> {
  const finder = new WordFinder(words)
  const root = await reader.structure()
  /** Depth first, without recursion. */
  const waiting: Part[] = [root]
  for (let part = waiting.pop(); part !== undefined && !finder.isDone; part = waiting.pop()) {
    if (part !== root) {
      const { text } = await reader.headerAt(part.headerStart, part.bodyStart)
      finder.add(decodeFieldText(text.replaceAll(/\r?\n(?=[ \t])/g, '')))
      finder.breakHere()
    }
    if (part.message !== undefined) waiting.push(part.message)
    for (const child of part.children.toReversed()) waiting.push(child)
    if (part.fields.type.toLowerCase() === 'text') await searchText(reader, part, finder)
  }
  return finder.found
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

  constructor(words: ReadonlySet<string>) {
    this.#missing = new Set(words)
    // Normalization may join characters, so a little more than the longest word.
    this.#overlap = Math.max(0, ...Array.from(words, (word) => word.length)) + 16
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

  /** Nothing is found across the end of a part. */
  breakHere(): void {
    this.#tail = ''
  }
}
