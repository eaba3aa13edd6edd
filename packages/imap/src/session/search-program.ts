import type { Uid } from '@postern/core'
import { parseAddressList } from '../message/address.ts'
import { decodeFieldText } from '../message/encoded-words.ts'
import { fieldValue, headerFields } from '../message/fields.ts'
import { isNotedField } from '../message/message-note.ts'
import type { FoundWords, WantedWords } from '../message/text-search.ts'
import { calendarDay, dayOf, monthOf, type Day } from '../wire/date-time.ts'
import type { SearchKey } from '../wire/search-keys.ts'
import { NumberRanges } from '../wire/sequence-set.ts'
import type { MailboxView, NumberedMessage } from './view.ts'

/** What is known of a message; the rest is read only when the verdict needs it. */
export interface SearchFacts {
  readonly message: NumberedMessage
  readonly header?: HeaderFacts | NotedFacts
  /** Which of the program's `words` it holds below its header. */
  readonly found?: FoundWords
}

/** What a search rests on beside the messages. */
export interface SearchGround {
  readonly recent: ReadonlySet<Uid>
  /** What `$` stands for. */
  readonly saved: ReadonlySet<Uid>
  readonly now: Date
  /** The store knows when messages came into the mailbox. */
  readonly hasSaveDates: boolean
}

/**
 * A search that can judge from part of the facts: `undefined` says that more must be known. So a message that its flags
 * rule out is never opened, and one that its header rules out is never read.
 */
export class SearchProgram {
  /** Those that are looked for in the texts of messages. */
  readonly words: WantedWords
  /** MODSEQ is among its keys. */
  readonly usesModseq: boolean = false
  readonly #key: SearchKey
  readonly #sets: ReadonlyMap<SearchKey, NumberRanges>
  readonly #ground: SearchGround

  /** A number that no message has finds nothing. */
  constructor(key: SearchKey, view: MailboxView, ground: SearchGround) {
    const sets = new Map<SearchKey, NumberRanges>()
    const words = { body: new Set<string>(), text: new Set<string>() }
    const waiting: SearchKey[] = [key]
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      if (next.key === 'and' || next.key === 'or') {
        waiting.push(...next.of)
      } else if (next.key === 'not') {
        waiting.push(next.of)
      } else if (next.key === 'sequence') {
        sets.set(next, new NumberRanges(next.set, view.exists))
      } else if (next.key === 'uid') {
        sets.set(next, new NumberRanges(next.set, view.records.at(-1)?.uid ?? 0))
      } else if (next.key === 'modseq') {
        this.usesModseq = true
      } else if (next.key === 'body' || next.key === 'text') {
        words[next.key].add(next.words)
      }
    }
    this.#key = key
    this.#sets = sets
    this.words = words
    this.#ground = ground
  }

  judge(facts: SearchFacts): boolean | undefined {
    return this.#judge(this.#key, facts)
  }

  /** The parser has bounded the depth. */
  #judge(key: SearchKey, facts: SearchFacts): boolean | undefined {
    const { number, record } = facts.message
    switch (key.key) {
      case 'all':
        return true
      case 'and':
        return this.#every(key.of, facts, true)
      case 'or': {
        // Not every one of the opposites.
        const none = this.#every(key.of, facts, false)
        return none === undefined ? undefined : !none
      }
      case 'not': {
        const verdict = this.#judge(key.of, facts)
        return verdict === undefined ? undefined : !verdict
      }
      case 'recent':
        return this.#ground.recent.has(record.uid)
      case 'flag':
        return hasFlag(record.flags, key.flag)
      case 'sequence':
        return this.#sets.get(key)?.has(number) ?? false
      case 'saved':
        return this.#ground.saved.has(record.uid)
      case 'older':
        return record.internalDate.getTime() <= this.#ground.now.getTime() - key.seconds * 1000
      case 'younger':
        return record.internalDate.getTime() >= this.#ground.now.getTime() - key.seconds * 1000
      case 'uid':
        return this.#sets.get(key)?.has(record.uid) ?? false
      case 'modseq':
        return (record.modseq ?? 0n) >= key.from
      case 'larger':
        return record.bytes > key.bytes
      case 'smaller':
        return record.bytes < key.bytes
      case 'internal-date':
        return isOn(dayOf(record.internalDate), key)
      case 'saved-date':
        // RFC 8514 section 4.3: of a message without a save date INTERNALDATE counts.
        return isOn(dayOf(record.savedDate ?? record.internalDate), key)
      case 'saved-date-supported':
        return this.#ground.hasSaveDates
      case 'email-id':
        return record.emailId === key.id
      case 'thread-id':
        return false
      case 'sent-date':
        return facts.header === undefined ? undefined : isOn(facts.header.sentDay, key)
      case 'header':
        return facts.header?.field(key.field, key.words)
      case 'body':
        return key.words === '' ? true : facts.found?.body.has(key.words)
      case 'text':
        return key.words === '' || facts.header?.holds(key.words) === true ? true : facts.found?.text.has(key.words)
    }
    return undefined
  }

  /** Whether all keys judge as `wanted`; one that does not decides at once, one that cannot tell leaves it open. */
  #every(keys: readonly SearchKey[], facts: SearchFacts, wanted: boolean): boolean | undefined {
    let isCertain = true
    for (const key of keys) {
      const verdict = this.#judge(key, facts)
      if (verdict === undefined) isCertain = false
      else if (verdict !== wanted) return false
    }
    return isCertain ? true : undefined
  }
}

/** A field that is searched, decoded on demand and once. */
class SearchedField {
  readonly #name: string
  readonly #value: string
  readonly #text: string
  #addresses: string | undefined

  constructor(name: string, value: string) {
    this.#name = name
    this.#value = value
    this.#text = comparable(value)
  }

  /** No words ask for the field alone (RFC 3501 section 6.4.4). */
  holds(words: string): boolean {
    if (words === '' || this.#text.includes(words)) return true
    if (!addressFields.has(this.#name)) return false
    this.#addresses ??= comparable(plainAddresses(this.#value))
    return this.#addresses.includes(words)
  }
}

/** What SEARCH wants to know of a header of which only the noted fields are at hand. */
export class NotedFacts {
  /** Each field on a line, after an empty one. */
  readonly #lines: string
  readonly #fields = new Map<string, SearchedField[]>()
  #sentDay: Day | 'none' | undefined

  constructor(fields: string) {
    this.#lines = `\n${fields}`
  }

  /** As `HeaderFacts.field`; `undefined` of a field that is not noted. */
  field(name: string, words: string): boolean | undefined {
    if (!isNotedField(name)) return undefined
    let fields = this.#fields.get(name)
    if (fields === undefined) {
      fields = this.#values(name).map((value) => new SearchedField(name, value))
      this.#fields.set(name, fields)
    }
    return fields.some((field) => field.holds(words))
  }

  /** The words may stand in fields that are missing here, and must not be found across those that are not. */
  holds(_words: string): boolean {
    return false
  }

  get sentDay(): Day | undefined {
    this.#sentDay ??= sentDayOf(this.#values('date')[0]) ?? 'none'
    return this.#sentDay === 'none' ? undefined : this.#sentDay
  }

  #values(name: string): string[] {
    const values: string[] = []
    const start = `\n${name}:`
    for (let at = this.#lines.indexOf(start); at >= 0; at = this.#lines.indexOf(start, at + 1)) {
      const from = at + start.length
      values.push(this.#lines.slice(from, this.#lines.indexOf('\n', from)))
    }
    return values
  }
}

/** What SEARCH wants to know of a header, decoded on demand and once. */
export class HeaderFacts {
  readonly #block: string
  readonly #fields = new Map<string, SearchedField[]>()
  #text: string | undefined
  #sentDay: Day | 'none' | undefined

  constructor(block: string) {
    this.#block = block
  }

  /** A field of this name holds the words. */
  field(name: string, words: string): boolean {
    let fields = this.#fields.get(name)
    if (fields === undefined) {
      fields = []
      for (const field of headerFields(this.#block)) {
        if (field.name === name) fields.push(new SearchedField(name, fieldValue(this.#block, field)))
      }
      this.#fields.set(name, fields)
    }
    return fields.some((field) => field.holds(words))
  }

  /** The words stand anywhere in the header. */
  holds(words: string): boolean {
    this.#text ??= comparable(this.#block.replaceAll(/\r?\n(?=[ \t])/g, ''))
    return this.#text.includes(words)
  }

  /** The day in the Date field, without regard to its time and zone. */
  get sentDay(): Day | undefined {
    this.#sentDay ??= this.#readSentDay() ?? 'none'
    return this.#sentDay === 'none' ? undefined : this.#sentDay
  }

  #readSentDay(): Day | undefined {
    for (const field of headerFields(this.#block)) {
      if (field.name === 'date') return sentDayOf(fieldValue(this.#block, field))
    }
    return undefined
  }
}

/** The day that a Date field tells. */
function sentDayOf(value: string | undefined): Day | undefined {
  const found = /(?:^|[\s,])(\d{1,2})\s+([A-Za-z]{3})\s+(\d{2,4})\b/.exec(value ?? '')
  if (found === null) return undefined
  const year = Number(found[3])
  // RFC 5322 section 4.3: two and three digits are years of the last century, or of this one below 50.
  const century = (found[3] ?? '').length === 4 ? 0 : year < 50 ? 2000 : 1900
  return calendarDay(year + century, monthOf(found[2] ?? ''), Number(found[1]))
}

/** RFC 3501 section 6.4.4: of these, the addresses as ENVELOPE tells them are searched; we look at the text besides. */
const addressFields: ReadonlySet<string> = new Set(['from', 'sender', 'reply-to', 'to', 'cc', 'bcc'])

/** Without comments, quotes and folding. */
function plainAddresses(value: string): string {
  return parseAddressList(value, maxSearchedAddresses)
    .map(({ name = '', mailbox = '', host = '' }) => `${name} <${host === '' ? mailbox : `${mailbox}@${host}`}>`)
    .join(', ')
}

/** Of one field. What stands behind them is found by its text. */
const maxSearchedAddresses = 10_000

function comparable(value: string): string {
  return decodeFieldText(value).normalize('NFC').toLowerCase()
}

function isOn(day: Day | undefined, key: { readonly is: 'before' | 'on' | 'since'; readonly day: Day }): boolean {
  if (day === undefined) return false
  if (key.is === 'on') return day === key.day
  return key.is === 'before' ? day < key.day : day >= key.day
}

/** Flags are compared without regard to case. */
function hasFlag(flags: readonly string[], flag: string): boolean {
  if (flags.includes(flag)) return true
  const wanted = flag.toLowerCase()
  return flags.some((candidate) => candidate.toLowerCase() === wanted)
}
