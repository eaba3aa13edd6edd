import type { Section } from '../wire/fetch-items.ts'
import { headerFields } from './fields.ts'
import type { MessageReader } from './message-reader.ts'
import type { Part } from './structure.ts'

/** What a section holds: octets of the message, or text made of some of its header fields. */
export type SectionContent =
  | { readonly kind: 'range'; readonly start: number; readonly end: number }
  | { readonly kind: 'text'; readonly text: string }

/**
 * Finds what `BODY[section]` names (RFC 3501 section 6.4.5). The message's own header and text need no scan of the body;
 * part numbers do.
 *
 * @returns `undefined` when the message has no such part.
 */
export async function findSection(reader: MessageReader, section: Section): Promise<SectionContent | undefined> {
  if (section.part.length > 0) return findInPart(reader, await reader.structure(), section)
  if (section.text === undefined) return { kind: 'range', start: 0, end: reader.bytes }
  const header = await reader.header()
  if (section.text === 'HEADER') return { kind: 'range', start: 0, end: header.end }
  if (section.text === 'TEXT') return { kind: 'range', start: header.end, end: reader.bytes }
  return selectFields(header.text, section)
}

async function findInPart(reader: MessageReader, root: Part, section: Section): Promise<SectionContent | undefined> {
  const part = partAt(root, section.part)
  if (part === undefined) return undefined
  if (section.text === undefined) return { kind: 'range', start: part.bodyStart, end: part.bodyEnd }
  if (section.text === 'MIME') return { kind: 'range', start: part.headerStart, end: part.bodyStart }
  // HEADER and TEXT of a part are those of the message in it; other parts have none.
  const { message } = part
  if (message === undefined) return undefined
  if (section.text === 'HEADER') return { kind: 'range', start: message.headerStart, end: message.bodyStart }
  if (section.text === 'TEXT') return { kind: 'range', start: message.bodyStart, end: message.bodyEnd }
  return selectFields((await reader.headerAt(message.headerStart, message.bodyStart)).text, section)
}

/** What FETCH BINARY names: octets of the message, and how they are encoded. */
export interface EncodedContent {
  readonly start: number
  readonly end: number
  readonly encoding: string
}

/**
 * RFC 3516 section 4.2. A multipart, a message, and the whole of a message are not encoded themselves.
 *
 * @returns `undefined` when the message has no such part.
 */
export async function findEncoded(reader: MessageReader, path: readonly number[]): Promise<EncodedContent | undefined> {
  if (path.length === 0) return { start: 0, end: reader.bytes, encoding: '8bit' }
  const part = partAt(await reader.structure(), path)
  if (part === undefined) return undefined
  const isLeaf = part.children.length === 0 && part.message === undefined
  return { start: part.bodyStart, end: part.bodyEnd, encoding: isLeaf ? part.fields.encoding : '8bit' }
}

/** Part 1 of what is no multipart is its body; numbers below a message/rfc822 part count inside its message. */
function partAt(root: Part, path: readonly number[]): Part | undefined {
  let entity: Part | undefined = root
  let found: Part | undefined
  for (const number of path) {
    // `entity` is the message whose parts are numbered, or a multipart in it.
    if (entity === undefined) return undefined
    if (entity.children.length > 0) found = entity.children[number - 1]
    else found = number === 1 ? entity : undefined
    if (found === undefined) return undefined
    // Below a plain part nothing is numbered: `1.1` of a text is no part.
    entity = found.message ?? (found.children.length > 0 ? found : undefined)
  }
  return found
}

/** The fields asked for as they stand, and the empty line that ends the header when there is one. */
function selectFields(block: string, section: Section): SectionContent {
  const wanted = section.fields ?? new Set<string>()
  const keeps = section.text === 'HEADER.FIELDS'
  let text = ''
  for (const field of headerFields(block)) {
    if (wanted.has(field.name) === keeps) text += block.slice(field.start, field.end)
  }
  return { kind: 'text', text: /(?:^|\n)\r?\n$/.test(block) ? `${text}\r\n` : text }
}
