/* Changes to the header section of a message on its way: fields put on top, fields taken out, another Subject. */
import { limits } from '../limits.ts'

export interface HeaderEdits {
  /** Whole fields, each ended by CRLF. */
  readonly onTop: readonly string[]
  /** Names, in lower case, of fields that are taken out. */
  readonly removed: ReadonlySet<string>
  /** Instead of what Subject says; put on top when there is none. */
  readonly subject?: string
}

export function hasEdits({ removed, subject }: HeaderEdits): boolean {
  return removed.size > 0 || subject !== undefined
}

/** RFC 5322 section 2.2: printable US-ASCII without the colon. */
const fieldName = /^[!-9;-~]{1,77}$/

/**
 * A field as another program wants it, made safe: one line, or folded where it was folded; `undefined` for what is no
 * field.
 */
export function headerField(name: string, value: string): string | undefined {
  if (!fieldName.test(name) || value.length > limits.maxAddedFieldChars) return undefined
  const lines = value.split(/\r\n|\r|\n/).filter((line) => line.trim() !== '')
  const folded = lines.map((line, index) => (index === 0 ? line.trim() : `\t${line.trim()}`)).join('\r\n')
  return /[^\t\r\n -~\u0080-\u{10ffff}]/u.test(folded) ? undefined : `${name}: ${folded}\r\n`
}

/** Where the header section ends: behind its last CRLF, ahead of the empty line; -1 while that is not there. */
export function endOfHeaderSection(bytes: Buffer): number {
  if (bytes.length >= 2 && bytes[0] === 0x0d && bytes[1] === 0x0a) return 0
  const end = bytes.indexOf('\r\n\r\n')
  return end === -1 ? -1 : end + 2
}

/** The header section with the edits made; what stays is octet for octet as it was. */
export function editHeaderSection(section: Buffer, { removed, subject }: HeaderEdits): Buffer {
  const kept: Buffer[] = []
  let isSubjectSaid = false
  for (const field of fieldsIn(section)) {
    const name = nameOf(field)
    if (removed.has(name)) continue
    if (name === 'subject' && subject !== undefined) {
      if (!isSubjectSaid) kept.push(Buffer.from(headerField('Subject', subject) ?? ''))
      isSubjectSaid = true
      continue
    }
    kept.push(field)
  }
  if (subject !== undefined && !isSubjectSaid) kept.push(Buffer.from(headerField('Subject', subject) ?? ''))
  return Buffer.concat(kept)
}

/** Fields with their folded lines; RFC 5322 section 2.2.3: a line that begins with white space goes on the one before. */
function* fieldsIn(section: Buffer): Generator<Buffer> {
  let start = 0
  for (let at = section.indexOf('\r\n'); at !== -1; at = section.indexOf('\r\n', at + 2)) {
    const next = section[at + 2]
    if (next === 0x20 || next === 0x09) continue
    yield section.subarray(start, at + 2)
    start = at + 2
  }
  if (start < section.length) yield section.subarray(start)
}

function nameOf(field: Buffer): string {
  const colon = field.indexOf(':')
  return colon === -1 ? '' : field.subarray(0, colon).toString('latin1').trim().toLowerCase()
}
