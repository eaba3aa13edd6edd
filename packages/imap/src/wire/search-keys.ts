import type { Flag } from '@postern/core'
import { parseDay, type Day } from './date-time.ts'
import { parseFlag } from './flags.ts'
import { parseSequenceSet, type SequenceSet } from './sequence-set.ts'
import type { Tokens } from './tokens.ts'

/** One condition of SEARCH (RFC 3501 section 6.4.4). Words are Unicode, in lower case, ready to be compared. */
export type SearchKey =
  | { readonly key: 'all' | 'recent' }
  | { readonly key: 'not'; readonly of: SearchKey }
  | { readonly key: 'or' | 'and'; readonly of: readonly SearchKey[] }
  | { readonly key: 'flag'; readonly flag: Flag }
  | { readonly key: 'sequence' | 'uid'; readonly set: SequenceSet }
  | { readonly key: 'larger' | 'smaller'; readonly bytes: number }
  | { readonly key: 'internal-date' | 'sent-date'; readonly is: 'before' | 'on' | 'since'; readonly day: Day }
  /** Empty words match every message that has the field. */
  | { readonly key: 'header'; readonly field: string; readonly words: string }
  | { readonly key: 'body' | 'text'; readonly words: string }

export type SearchFault = 'syntax' | 'charset' | 'depth' | 'words'

const flagKeys: Readonly<Record<string, Flag>> = {
  ANSWERED: '\\Answered',
  DELETED: '\\Deleted',
  DRAFT: '\\Draft',
  FLAGGED: '\\Flagged',
  SEEN: '\\Seen',
}

const fieldKeys: ReadonlySet<string> = new Set(['BCC', 'CC', 'FROM', 'SUBJECT', 'TO'])

const dateKeys: Readonly<Record<string, readonly ['internal-date' | 'sent-date', 'before' | 'on' | 'since']>> = {
  BEFORE: ['internal-date', 'before'],
  ON: ['internal-date', 'on'],
  SINCE: ['internal-date', 'since'],
  SENTBEFORE: ['sent-date', 'before'],
  SENTON: ['sent-date', 'on'],
  SENTSINCE: ['sent-date', 'since'],
}

/** `search = "SEARCH" [SP "CHARSET" SP astring] 1*(SP search-key)`, from behind the name. */
export function parseSearch(tokens: Tokens): SearchKey | SearchFault {
  const start = tokens.at
  let charset: Charset = 'us-ascii'
  if (tokens.space() && tokens.word('CHARSET')) {
    if (!tokens.space()) return 'syntax'
    const name = tokens.astring()?.toUpperCase()
    if (name === undefined) return 'syntax'
    if (name !== 'UTF-8' && name !== 'US-ASCII') return 'charset'
    charset = name === 'UTF-8' ? 'utf-8' : 'us-ascii'
  } else {
    tokens.at = start
  }
  const parser = new Parser(tokens, charset)
  const keys: SearchKey[] = []
  while (!tokens.isAtEnd) {
    const key = tokens.space() ? parser.key(0) : undefined
    if (key === undefined) return parser.fault
    keys.push(key)
  }
  return keys.length === 0 ? 'syntax' : all(keys)
}

type Charset = 'us-ascii' | 'utf-8'

class Parser {
  fault: SearchFault = 'syntax'
  readonly #tokens: Tokens
  readonly #charset: Charset
  #count = 0
  #wordBytes = 0

  constructor(tokens: Tokens, charset: Charset) {
    this.#tokens = tokens
    this.#charset = charset
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
        const bytes = tokens.space() ? tokens.number() : undefined
        return bytes === undefined ? undefined : { key: name === 'LARGER' ? 'larger' : 'smaller', bytes }
      }
      case 'UID':
        return this.#set('uid', (tokens.space() ? tokens.sequenceSet() : undefined) ?? '')
      case 'HEADER': {
        const field = tokens.space() ? tokens.astring()?.toLowerCase() : undefined
        return field === undefined ? undefined : this.#words((words) => ({ key: 'header', field, words }))
      }
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
    const words = Buffer.from(octets, 'latin1').toString('utf8')
    if (words.includes('\ufffd') && this.#charset === 'us-ascii') {
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
