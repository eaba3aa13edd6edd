import { encodeAstring } from './response.ts'
import type { Tokens } from './tokens.ts'

/** What is asked of a message's text: `section-spec` of RFC 3501 section 9. */
export interface Section {
  /** Part numbers from the outside in; none for the message itself. */
  readonly part: readonly number[]
  /** Absent: the whole part. */
  readonly text?: 'HEADER' | 'TEXT' | 'MIME' | 'HEADER.FIELDS' | 'HEADER.FIELDS.NOT'
  /** Field names in lower case, for the two that select fields. */
  readonly fields?: ReadonlySet<string>
}

export type FetchItem =
  | {
      readonly item:
        | 'FLAGS'
        | 'UID'
        | 'INTERNALDATE'
        | 'RFC822.SIZE'
        | 'ENVELOPE'
        | 'BODY'
        | 'BODYSTRUCTURE'
        | 'PREVIEW'
        | 'MODSEQ'
        | 'EMAILID'
        | 'THREADID'
        | 'SAVEDATE'
    }
  | {
      readonly item: 'section'
      readonly section: Section
      /** Looking does not set `\Seen`. */
      readonly isPeek: boolean
      readonly partial?: { readonly offset: number; readonly count: number }
      /** How the answer names it: `BODY[1.TEXT]<0>`, `RFC822.HEADER`. */
      readonly label: string
    }
  /** RFC 3516: what a part stands for, or how much that is. */
  | {
      readonly item: 'binary'
      readonly part: readonly number[]
      readonly isPeek: boolean
      readonly partial?: { readonly offset: number; readonly count: number }
      readonly label: string
    }
  | { readonly item: 'binary-size'; readonly part: readonly number[]; readonly label: string }

type PlainItem = Exclude<FetchItem['item'], 'section' | 'binary' | 'binary-size'>

const plainItems: readonly PlainItem[] = [
  'FLAGS',
  'UID',
  'INTERNALDATE',
  'RFC822.SIZE',
  'ENVELOPE',
  'BODYSTRUCTURE',
  'BODY',
  'MODSEQ', // RFC 7162 section 3.1.4.2
  'EMAILID', // RFC 8474 section 5
  'THREADID',
  'SAVEDATE', // RFC 8514 section 4.2
]

/** RFC 3501 section 6.4.5: a macro stands alone. */
const macros: Readonly<Record<'ALL' | 'FAST' | 'FULL', readonly PlainItem[]>> = {
  ALL: ['FLAGS', 'INTERNALDATE', 'RFC822.SIZE', 'ENVELOPE'],
  FAST: ['FLAGS', 'INTERNALDATE', 'RFC822.SIZE'],
  FULL: ['FLAGS', 'INTERNALDATE', 'RFC822.SIZE', 'ENVELOPE', 'BODY'],
}

/** RFC 3501 section 6.4.5: these are other names of sections. */
const sectionNames: readonly { readonly label: string; readonly section: Section; readonly isPeek: boolean }[] = [
  { label: 'RFC822.HEADER', section: { part: [], text: 'HEADER' }, isPeek: true },
  { label: 'RFC822.TEXT', section: { part: [], text: 'TEXT' }, isPeek: false },
  { label: 'RFC822', section: { part: [] }, isPeek: false },
]

/** `fetch = "FETCH" SP sequence-set SP ("ALL" / "FULL" / "FAST" / fetch-att / "(" fetch-att *(SP fetch-att) ")")` */
export function parseFetchItems(tokens: Tokens): readonly FetchItem[] | undefined {
  for (const macro of ['ALL', 'FAST', 'FULL'] as const) {
    if (tokens.word(macro)) return macros[macro].map((item) => ({ item }))
  }
  if (tokens.text[tokens.at] !== '(') {
    const item = parseFetchItem(tokens)
    return item === undefined ? undefined : [item]
  }
  const items = tokens.list(() => parseFetchItem(tokens))
  if (items === undefined || items.length === 0) return undefined
  // Asked for twice, told once. Sections stay: one may peek where the other does not.
  const plain = new Set<FetchItem['item']>()
  return items.filter((item) => 'label' in item || (!plain.has(item.item) && plain.add(item.item)))
}

/** `fetch-att` */
export function parseFetchItem(tokens: Tokens): FetchItem | undefined {
  const start = tokens.at
  if (takeExactly(tokens, 'BODY.PEEK[')) return parseSectionItem(tokens, true)
  if (takeExactly(tokens, 'BODY[')) return parseSectionItem(tokens, false)
  if (tokens.word('PREVIEW')) return parsePreview(tokens)
  if (takeExactly(tokens, 'BINARY.PEEK[')) return parseBinaryItem(tokens, true)
  if (takeExactly(tokens, 'BINARY.SIZE[')) return parseBinarySize(tokens)
  if (takeExactly(tokens, 'BINARY[')) return parseBinaryItem(tokens, false)
  for (const item of plainItems) {
    if (tokens.word(item)) return { item }
  }
  for (const { label, section, isPeek } of sectionNames) {
    if (tokens.word(label)) return { item: 'section', section, isPeek, label }
  }
  tokens.at = start
  return undefined
}

function takeExactly(tokens: Tokens, text: string): boolean {
  if (tokens.text.slice(tokens.at, tokens.at + text.length).toUpperCase() !== text) return false
  tokens.at += text.length
  return true
}

/** `section = "[" [section-spec] "]"`, then `["<" number "." nz-number ">"]`. */
function parseSectionItem(tokens: Tokens, isPeek: boolean): FetchItem | undefined {
  const part = parsePart(tokens)
  if (part === undefined) return undefined
  const isPartEnded = part.length === 0 || takeExactly(tokens, '.')
  let text: Section['text']
  let names: readonly string[] | undefined
  if (isPartEnded) {
    text = parseSectionText(tokens)
    if (text === undefined && part.length > 0) return undefined
    // section-text = section-msgtext / "MIME": MIME belongs to a part.
    if (text === 'MIME' && part.length === 0) return undefined
    if (text === 'HEADER.FIELDS' || text === 'HEADER.FIELDS.NOT') {
      if (!tokens.space()) return undefined
      names = tokens.list(() => tokens.astring())
      if (names === undefined || names.length === 0) return undefined
    }
  }
  if (!takeExactly(tokens, ']')) return undefined
  const partial = parsePartial(tokens)
  if (partial === 'malformed') return undefined
  const spec = [part.join('.'), text].filter((word) => word !== undefined && word !== '').join('.')
  const list = names === undefined ? '' : ` (${names.map(encodeAstring).join(' ')})`
  const label = `BODY[${spec}${list}]${partial === undefined ? '' : `<${partial.offset}>`}`
  const section: Section = {
    part,
    ...(text === undefined ? {} : { text }),
    ...(names === undefined ? {} : { fields: new Set(names.map((name) => name.toLowerCase())) }),
  }
  return { item: 'section', section, isPeek, label, ...(partial === undefined ? {} : { partial }) }
}

/** `"PREVIEW" [SP "(" preview-mod *(SP preview-mod) ")"]` (RFC 8970 section 6). LAZY changes nothing: it never takes long. */
function parsePreview(tokens: Tokens): FetchItem | undefined {
  const start = tokens.at
  const modifiers = tokens.space() ? tokens.list(() => tokens.word('LAZY') || undefined) : undefined
  // What stands behind may be the modifiers of FETCH.
  if (modifiers === undefined || modifiers.length === 0) tokens.at = start
  return { item: 'PREVIEW' }
}

/** `"BINARY" [".PEEK"] section-binary [partial]`, `section-binary = "[" [section-part] "]"` (RFC 3516 section 7) */
function parseBinaryItem(tokens: Tokens, isPeek: boolean): FetchItem | undefined {
  const part = parsePart(tokens)
  if (part === undefined || !takeExactly(tokens, ']')) return undefined
  const partial = parsePartial(tokens)
  if (partial === 'malformed') return undefined
  const label = `BINARY[${part.join('.')}]${partial === undefined ? '' : `<${partial.offset}>`}`
  return { item: 'binary', part, isPeek, label, ...(partial === undefined ? {} : { partial }) }
}

/** `"BINARY.SIZE" section-binary` */
function parseBinarySize(tokens: Tokens): FetchItem | undefined {
  const part = parsePart(tokens)
  if (part === undefined || !takeExactly(tokens, ']')) return undefined
  return { item: 'binary-size', part, label: `BINARY.SIZE[${part.join('.')}]` }
}

/** `section-part = nz-number *("." nz-number)`. Stops before a `.` that no number follows. */
function parsePart(tokens: Tokens): number[] | undefined {
  const part: number[] = []
  for (;;) {
    const start = tokens.at
    if (part.length > 0 && !takeExactly(tokens, '.')) return part
    const digits = /\d/.test(tokens.text.charAt(tokens.at))
    if (!digits) {
      tokens.at = start
      return part
    }
    const number = tokens.number()
    if (number === undefined || number === 0 || part.length === tokens.limits.maxPartDepth) return undefined
    part.push(number)
  }
}

function parseSectionText(tokens: Tokens): Section['text'] {
  for (const text of ['HEADER.FIELDS.NOT', 'HEADER.FIELDS', 'HEADER', 'TEXT', 'MIME'] as const) {
    if (takeExactly(tokens, text)) return text
  }
  return undefined
}

/** `partial = "<" number64 "." nz-number64 ">"` (RFC 9051 section 9). */
function parsePartial(tokens: Tokens): { offset: number; count: number } | 'malformed' | undefined {
  if (!takeExactly(tokens, '<')) return undefined
  const offset = tokens.number64()
  if (offset === undefined || !takeExactly(tokens, '.')) return 'malformed'
  const count = tokens.number64()
  return count === undefined || count === 0 || !takeExactly(tokens, '>') ? 'malformed' : { offset, count }
}
