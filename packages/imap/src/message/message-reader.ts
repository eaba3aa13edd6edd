import type { Awaitable, MessageContent } from '@postern/core'
import { ContentTruncatedError } from '../errors.ts'
import type { ImapLimits } from '../limits.ts'
import { emptyLineEnd, headerLength } from './fields.ts'
import { StructureScanner, type Part } from './structure.ts'

/** A header block, one octet in each character. */
export interface HeaderBlock {
  /** As much of it as the limits allow. */
  readonly text: string
  /** Where the body begins: behind the empty line, or at the end of the message. */
  readonly end: number
}

/** Octets asked for first: nearly every header fits, and a file system reads no less. */
const firstHeaderRead = 16_384

/** Reads one open message by need: the header alone, its structure, a range. What was read is not read again. */
export class MessageReader {
  readonly bytes: number
  readonly #content: MessageContent
  readonly #limits: ImapLimits
  readonly #room: (chunk: Buffer) => Awaitable<void>
  #header: HeaderBlock | undefined
  #structure: Part | undefined

  /**
   * @param room - waited for behind each chunk: a store may have the message in memory, and then nothing else lets others
   * have the event loop while a large one is gone through. May throw, to stop.
   */
  constructor(content: MessageContent, limits: ImapLimits, room: (chunk: Buffer) => Awaitable<void>, structure?: Part) {
    this.bytes = content.bytes
    this.#content = content
    this.#limits = limits
    this.#room = room
    this.#structure = structure
  }

  /** Reads up to the empty line and no further. */
  async header(): Promise<HeaderBlock> {
    this.#header ??= await this.headerAt(0, this.bytes)
    return this.#header
  }

  /** The header block that begins at `start`, of an entity that ends at `end`. */
  async headerAt(start: number, end: number): Promise<HeaderBlock> {
    const bound = Math.min(end - start, this.#limits.maxHeaderBytes)
    let block: Buffer = Buffer.alloc(0)
    while (block.length < bound) {
      const wanted = Math.min(bound - block.length, Math.max(firstHeaderRead, block.length))
      const chunk = await this.#content.read(start + block.length, wanted)
      if (chunk.length === 0) break
      const before = block.length
      block = before === 0 ? chunk : Buffer.concat([block, chunk])
      const length = headerLength(block, before)
      if (length !== undefined) return { text: block.toString('latin1', 0, length), end: start + length }
    }
    if (start + block.length >= end) return { text: block.toString('latin1'), end }
    return { text: block.toString('latin1'), end: await this.#endOfLongHeader(start + block.length, end) }
  }

  /** The tree of parts, when it was needed. */
  get foundStructure(): Part | undefined {
    return this.#structure
  }

  /** The tree of parts, from one pass over the message. */
  async structure(): Promise<Part> {
    if (this.#structure !== undefined) return this.#structure
    const scanner = new StructureScanner(this.#limits)
    const scanned = Math.min(this.bytes, this.#limits.maxScannedBytes)
    for await (const chunk of this.range(0, scanned)) scanner.push(chunk)
    this.#structure = scanner.end(this.bytes)
    return this.#structure
  }

  /**
   * The tree of parts as the beginning of the message shows it, for what needs no more: what is not whole there ends where
   * the message ends.
   */
  async beginning(): Promise<Part> {
    const scanned = Math.min(this.bytes, this.#limits.readChunkBytes)
    if (this.#structure !== undefined || scanned === this.bytes) return this.structure()
    const scanner = new StructureScanner(this.#limits)
    for await (const chunk of this.range(0, scanned)) scanner.push(chunk)
    return scanner.end(this.bytes)
  }

  /** The octets `[start, end)` in chunks. Throws when the message is shorter than it said. */
  async *range(start: number, end: number): AsyncGenerator<Buffer, void, undefined> {
    for (let at = start; at < end;) {
      const chunk = await this.#content.read(at, Math.min(end - at, this.#limits.readChunkBytes))
      if (chunk.length === 0) throw new ContentTruncatedError(end - at, at)
      at += chunk.length
      yield chunk
      await this.#room(chunk)
    }
  }

  close(): Promise<void> {
    return this.#content.close()
  }

  /** Beyond the bound of what is looked at, only the empty line is searched for. */
  async #endOfLongHeader(from: number, end: number): Promise<number> {
    // An empty line may lie across chunks, so each begins with the last octets of the one before.
    for (let at = Math.max(0, from - 3); at < end;) {
      const chunk = await this.#content.read(at, Math.min(end - at, this.#limits.readChunkBytes))
      const length = emptyLineEnd(chunk, 0)
      if (length !== undefined) return at + length
      if (chunk.length < 4) return end
      at += chunk.length - 3
      await this.#room(chunk)
    }
    return end
  }
}
