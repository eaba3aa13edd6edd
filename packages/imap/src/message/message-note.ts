/*
 * What is found out about a message once and wanted again: the fields of its header that ENVELOPE, SEARCH, SORT and THREAD
 * ask for, and its structure. A note is text, one octet in each character, that a store keeps beside the message and
 * does not read:
 *
 *   2 187 412
 *   subject:Re: soup
 *   from:Ann <ann@example.org>
 *   ...
 *   {"headerStart":0, ...}
 *
 * Version, length of the fields, length of the structure; the fields, unfolded, in their order, each on a line; the
 * structure as JSON, when it was found. A note of another version, or one that cannot be read, is no note.
 */
import { fieldValue, headerFields } from './fields.ts'
import type { Part } from './structure.ts'

/** 2: parameters in pieces are told as one. */
const version = 2

const headPattern = new RegExp(`^${version} (\\d{1,9}) (\\d{1,9})\n`)

/** All that stand in a note: a field of another name may be in the message all the same. */
const notedFields: ReadonlySet<string> = new Set([
  'date',
  'subject',
  'from',
  'sender',
  'reply-to',
  'to',
  'cc',
  'bcc',
  'message-id',
  'in-reply-to',
  'references',
])

/** Whether a note tells all fields of this name. */
export const isNotedField = (name: string): boolean => notedFields.has(name)

/** What a note says. */
export interface MessageNote {
  /** A header block of the noted fields. To `headerFields` it is as good as the message's own. */
  readonly fields: string
  readonly structure: Part | undefined
}

/**
 * Makes a note.
 *
 * @param header - the whole header block, or the fields of an earlier note.
 */
export function encodeNote(header: string, structure: Part | undefined): string {
  let fields = ''
  for (const field of headerFields(header)) {
    if (notedFields.has(field.name)) fields += `${field.name}:${fieldValue(header, field)}\n`
  }
  const tree = structure === undefined ? '' : JSON.stringify(plain(structure))
  return `${version} ${fields.length} ${tree.length}\n${fields}${tree}`
}

/** Reads a note; `undefined` when it is none. */
export function readNote(text: string): MessageNote | undefined {
  const head = headOf(text)
  if (head === undefined) return undefined
  const fields = text.slice(head.start, head.fieldsEnd)
  try {
    return { fields, structure: head.hasTree ? (JSON.parse(text.slice(head.fieldsEnd)) as Part) : undefined }
  } catch {
    return undefined
  }
}

/** Only the fields of a note, as a header block. */
export function readNotedFields(text: string): string | undefined {
  const head = headOf(text)
  return head === undefined ? undefined : text.slice(head.start, head.fieldsEnd)
}

function headOf(
  text: string,
): { readonly start: number; readonly fieldsEnd: number; readonly hasTree: boolean } | undefined {
  const head = headPattern.exec(text)
  if (head === null) return undefined
  const start = head[0].length
  const fieldsEnd = start + Number(head[1])
  if (fieldsEnd + Number(head[2]) !== text.length) return undefined
  return { start, fieldsEnd, hasTree: head[2] !== '0' }
}

/** Without what only the scanner needs. Depth is bounded by the scanner. */
function plain(part: Part): Part {
  const { headerStart, bodyStart, bodyEnd, lines, fields, children, message } = part
  return {
    headerStart,
    bodyStart,
    bodyEnd,
    lines,
    fields,
    children: children.map(plain),
    ...(message === undefined ? {} : { message: { ...plain(message), envelope: message.envelope } }),
  }
}
