import type { Flag } from '@postern/core'
import { parseDay, type Day } from './date-time.ts'
import { parseFlag } from './flags.ts'
import { parseModseq } from './modseq.ts'
import { parseSequenceSet, type SequenceSet } from './sequence-set.ts'
import type { Tokens } from './tokens.ts'

/** One condition of SEARCH (RFC 3501 section 6.4.4). Words are Unicode, in lower case, ready to be compared. */
export type SearchKey =
  | { readonly key: 'all' | 'recent' }
  | { readonly key: 'not'; readonly of: SearchKey }
  | { readonly key: 'or' | 'and'; readonly of: readonly SearchKey[] }
  | { readonly key: 'flag'; readonly flag: Flag }
  | { readonly key: 'sequence' | 'uid'; readonly set: SequenceSet }
  /** `$`: what an earlier search saved (RFC 5182). */
  | { readonly key: 'saved' }
  /** RFC 5032: the age of INTERNALDATE in seconds. */
  | { readonly key: 'older' | 'younger'; readonly seconds: number }
  /** RFC 8514 section 4.3: whether the store knows when messages came. */
  | { readonly key: 'saved-date-supported' }
  /** RFC 8474 section 6. */
  | { readonly key: 'email-id' | 'thread-id'; readonly id: string }
  /** RFC 7162 section 3.1.5. */
  | { readonly key: 'modseq'; readonly from: bigint }
  | { readonly key: 'larger' | 'smaller'; readonly bytes: number }
  | { readonly key: DateKey; readonly is: 'before' | 'on' | 'since'; readonly day: Day }
  /** Empty words match every message that has the field. */
  | { readonly key: 'header'; readonly field: string; readonly words: string }
  | { readonly key: 'body' | 'text'; readonly words: string }

/** RFC 8514 section 4.3 adds the last. */
type DateKey = 'internal-date' | 'sent-date' | 'saved-date'

export type SearchFault = 'syntax' | 'charset' | 'depth' | 'words'

const flagKeys: Readonly<Record<string, Flag>> = {
  ANSWERED: '\\Answered',
  DELETED: '\\Deleted',
  DRAFT: '\\Draft',
  FLAGGED: '\\Flagged',
  SEEN: '\\Seen',
}

const fieldKeys: ReadonlySet<string> = new Set(['BCC', 'CC', 'FROM', 'SUBJECT', 'TO'])

const dateKeys: Readonly<Record<string, readonly [DateKey, 'before' | 'on' | 'since']>> = {
  BEFORE: ['internal-date', 'before'],
  ON: ['internal-date', 'on'],
  SINCE: ['internal-date', 'since'],
  SENTBEFORE: ['sent-date', 'before'],
  SENTON: ['sent-date', 'on'],
  SENTSINCE: ['sent-date', 'since'],
  SAVEDBEFORE: ['saved-date', 'before'],
  SAVEDON: ['saved-date', 'on'],
  SAVEDSINCE: ['saved-date', 'since'],
}

/** `search = "SEARCH" [search-return-opts] [SP "CHARSET" SP astring] 1*(SP search-key)`, from behind the options. */
export function parseSearch(tokens: Tokens): SearchKey | SearchFault {
  const start = tokens.at
  let charset = 'US-ASCII'
  if (tokens.space() && tokens.word('CHARSET')) {
    const name = tokens.space() ? tokens.astring() : undefined
    if (name === undefined) return 'syntax'
    charset = name
  } else {
    tokens.at = start
  }
  return parseSearchProgram(tokens, charset)
}

/** `search-criteria = charset 1*(SP search-key)` of SORT and THREAD (RFC 5256 section 5), charset first. */
export function parseSearchCriteria(tokens: Tokens): SearchKey | SearchFault {
  const charset = tokens.space() ? tokens.astring() : undefined
  return charset === undefined ? 'syntax' : parseSearchProgram(tokens, charset)
}

function parseSearchProgram(tokens: Tokens, charset: string): SearchKey | SearchFault {
  const decode = decoderOf(charset)
  if (decode === undefined) return 'charset'
  const parser = new Parser(tokens, decode)
  const keys: SearchKey[] = []
  while (!tokens.isAtEnd) {
    const key = tokens.space() ? parser.key(0) : undefined
    if (key === undefined) return parser.fault
    keys.push(key)
  }
  return keys.length === 0 ? 'syntax' : all(keys)
}

/** Octets as text; `undefined` when they are none in this charset. */
type Decode = (octets: Buffer) => string | undefined

/** The charsets that are named in BADCHARSET: the likely ones. Any that the platform decodes is taken. */
export const namedCharsets =
  'US-ASCII UTF-8 ISO-8859-1 ISO-8859-15 WINDOWS-1252 KOI8-R ISO-2022-JP SHIFT_JIS EUC-KR GB18030'

/** Undeclared 8-bit octets, or octets declared US-ASCII, are taken for UTF-8 when they are that: people type so. */
function decoderOf(charset: string): Decode | undefined {
  const name = charset.toLowerCase()
  try {
    const decoder = new TextDecoder(name === 'us-ascii' ? 'utf-8' : name, { fatal: true })
    return (octets) => {
      try {
        return decoder.decode(octets)
      } catch {
        return undefined
      }
    }
  } catch {
    return undefined
  }
}

class Parser {
  fault: SearchFault = 'syntax'
  readonly #tokens: Tokens
  readonly #decode: Decode
  #count = 0
  #wordBytes = 0

  constructor(tokens: Tokens, decode: Decode) {
    this.#tokens = tokens
    this.#decode = decode
  }

  /** @param depth - how many NOT, OR and parentheses stand around this key; the bound keeps the stack flat. */
  key(depth: number): SearchKey | undefined {
    const tokens = this.#tokens
    this.#count += 1
    if (depth > tokens.limits.maxDepth || this.#count > tokens.limits.maxListElements) {
      this.fault = 'depth'
      return undefined
    }
    if (tokens.text[tokens.at] === '(') {
      const keys = tokens.list(() => this.key(depth + 1))
      return keys === undefined || keys.length === 0 ? undefined : all(keys)
    }
    if (tokens.word('$')) return { key: 'saved' }
    const set = tokens.sequenceSet()
    if (set !== undefined) return this.#set('sequence', set)
    const name = tokens.atom()?.toUpperCase()
    return name === undefined ? undefined : this.#named(name, depth)
  }

  #named(name: string, depth: number): SearchKey | undefined {
    const tokens = this.#tokens
    const date = Object.hasOwn(dateKeys, name) ? dateKeys[name] : undefined
    if (date !== undefined) {
      const day = parseDay((tokens.space() ? tokens.astring() : undefined) ?? '')
      return day === undefined ? undefined : { key: date[0], is: date[1], day }
    }
    if (fieldKeys.has(name)) return this.#words((words) => ({ key: 'header', field: name.toLowerCase(), words }))
    if (Object.hasOwn(flagKeys, name)) return { key: 'flag', flag: flagKeys[name] ?? '' }
    if (name.startsWith('UN') && Object.hasOwn(flagKeys, name.slice(2))) {
      return { key: 'not', of: { key: 'flag', flag: flagKeys[name.slice(2)] ?? '' } }
    }
    switch (name) {
      case 'ALL':
        return { key: 'all' }
      case 'RECENT':
        return { key: 'recent' }
      case 'OLD':
        return { key: 'not', of: { key: 'recent' } }
      case 'NEW':
        return all([{ key: 'recent' }, { key: 'not', of: { key: 'flag', flag: '\\Seen' } }])
      case 'KEYWORD':
        return this.#keyword()
      case 'UNKEYWORD': {
        const keyword = this.#keyword()
        return keyword === undefined ? undefined : { key: 'not', of: keyword }
      }
      case 'LARGER':
      case 'SMALLER': {
        const bytes = tokens.space() ? tokens.number64() : undefined
        return bytes === undefined ? undefined : { key: name === 'LARGER' ? 'larger' : 'smaller', bytes }
      }
      case 'OLDER':
      case 'YOUNGER': {
        const seconds = tokens.space() ? tokens.number() : undefined
        // nz-number (RFC 5032 section 3)
        if (seconds === undefined || seconds === 0) return undefined
        return { key: name === 'OLDER' ? 'older' : 'younger', seconds }
      }
      case 'UID':
        if (tokens.text.startsWith(' $', tokens.at))
          return tokens.space() && tokens.word('$') ? { key: 'saved' } : undefined
        return this.#set('uid', (tokens.space() ? tokens.sequenceSet() : undefined) ?? '')
      case 'HEADER': {
        const field = tokens.space() ? tokens.astring()?.toLowerCase() : undefined
        return field === undefined ? undefined : this.#words((words) => ({ key: 'header', field, words }))
      }
      case 'SAVEDATESUPPORTED':
        return { key: 'saved-date-supported' }
      case 'EMAILID':
      case 'THREADID': {
        const id = tokens.space() ? tokens.astring() : undefined
        if (id === undefined || !/^[A-Za-z0-9_-]{1,255}$/.test(id)) return undefined
        return { key: name === 'EMAILID' ? 'email-id' : 'thread-id', id }
      }
      case 'MODSEQ':
        return this.#modseq()
      case 'BODY':
        return this.#words((words) => ({ key: 'body', words }))
      case 'TEXT':
        return this.#words((words) => ({ key: 'text', words }))
      case 'NOT': {
        const of = tokens.space() ? this.key(depth + 1) : undefined
        return of === undefined ? undefined : { key: 'not', of }
      }
      case 'OR': {
        const one = tokens.space() ? this.key(depth + 1) : undefined
        const other = one !== undefined && tokens.space() ? this.key(depth + 1) : undefined
        return one === undefined || other === undefined ? undefined : { key: 'or', of: [one, other] }
      }
      default:
        return undefined
    }
  }

  #set(key: 'sequence' | 'uid', text: string): SearchKey | undefined {
    const set = parseSequenceSet(text, this.#tokens.limits.maxSequenceRanges)
    return set === undefined ? undefined : { key, set }
  }

  /**
   * `search-modsequence = "MODSEQ" [search-modseq-ext] SP mod-sequence-valzer`. All flags of a message share its number,
   * so that the extension, which names one of them, is read and makes no difference.
   */
  #modseq(): SearchKey | undefined {
    const tokens = this.#tokens
    if (!tokens.space()) return undefined
    if (tokens.text[tokens.at] === '"') {
      const entry = tokens.string()?.toLowerCase()
      if (entry?.startsWith('/flags/') !== true || !tokens.space()) return undefined
      const isType = (['PRIV', 'SHARED', 'ALL'] as const).some((type) => tokens.word(type))
      if (!isType || !tokens.space()) return undefined
    }
    const from = parseModseq(tokens)
    return from === undefined ? undefined : { key: 'modseq', from }
  }

  #keyword(): SearchKey | undefined {
    const flag = this.#tokens.space() ? parseFlag(this.#tokens) : undefined
    return flag === undefined || flag.startsWith('\\') ? undefined : { key: 'flag', flag }
  }

  /** `SP astring` in the charset of the command. Undeclared 8-bit octets are taken for UTF-8 when they are that. */
  #words(make: (words: string) => SearchKey): SearchKey | undefined {
    const octets = this.#tokens.space() ? this.#tokens.astring() : undefined
    if (octets === undefined) return undefined
    this.#wordBytes += octets.length
    if (this.#wordBytes > this.#tokens.limits.maxSearchBytes) {
      this.fault = 'words'
      return undefined
    }
    const words = this.#decode(Buffer.from(octets, 'latin1'))
    if (words === undefined) {
      this.fault = 'charset'
      return undefined
    }
    return make(words.normalize('NFC').toLowerCase())
  }
}

function all(keys: readonly SearchKey[]): SearchKey {
  const [only] = keys
  return keys.length === 1 && only !== undefined ? only : { key: 'and', of: keys }
}
