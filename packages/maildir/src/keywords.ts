/*
 * The letters of a file name. System flags have fixed ones (maildir(5)); `P`, passed, is the keyword `$Forwarded` as
 * other programs read it. `a` to `z` mean what the file `dovecot-keywords` in the mailbox's folder says: a number from
 * 0, a space, the keyword. That name and format are kept, since letters without the table that they were written with
 * mean nothing: a Maildir that moves to or from Dovecot keeps its keywords.
 *
 * Further keywords have numbers from 26 in the file `postern-keywords`, of the same format. Their place is a bit in the
 * journal (`journal.ts`): other programs do not see them.
 */
import type { Flag } from '@postern/core'
import { readSmallFile, replaceFile } from './durable.ts'
import { sortLetters } from './filename.ts'
import type { MaildirLimits } from './limits.ts'
import type { Disk } from './options.ts'

export const keywordsName = 'dovecot-keywords'
const moreFileName = 'postern-keywords'

/** Keywords with a letter. */
const letterCount = 26

/** RFC 5788; the one keyword with a letter of its own. */
const passed = '$Forwarded'

const systemLetters: readonly (readonly [letter: string, flag: Flag])[] = [
  ['D', '\\Draft'],
  ['F', '\\Flagged'],
  ['P', passed],
  ['R', '\\Answered'],
  ['S', '\\Seen'],
  ['T', '\\Deleted'],
]
const letterOfSystemFlag = new Map(systemLetters.map(([letter, flag]) => [flag.toLowerCase(), letter]))
const systemFlagOfLetter = new Map(systemLetters)

/** Flags of a message as they are kept: letters of its file name, and a bit for each keyword without a letter. */
export interface Marks {
  readonly letters: string
  readonly extra: bigint
}

export const noMarks: Marks = { letters: '', extra: 0n }

/** Combinations of flags remembered, of some 300 bytes each; what people use is a few dozen. */
const maxSharedFlags = 512

export class Keywords {
  /** `undefined` where a number is missing; position is the letter's place in the alphabet. */
  readonly #table: readonly (string | undefined)[]
  /** A message has a mark that the table does not know: it may have been added since. */
  sawUnknown = false
  /** Messages with the same letters share one array. */
  readonly #flags = new Map<string, readonly Flag[]>()

  constructor(table: readonly (string | undefined)[] = []) {
    this.#table = table
  }

  /** All that messages of the mailbox can have. */
  get names(): readonly string[] {
    return [...this.#table.filter((name) => name !== undefined), passed]
  }

  /** Whether each letter means the same. */
  isAs(other: Keywords): boolean {
    return this.#table.length === other.#table.length && this.#table.every((name, at) => name === other.#table[at])
  }

  /** Letters that the table does not know are kept in the file name and shown to nobody. */
  flagsOf({ letters, extra }: Marks): readonly Flag[] {
    const key = extra === 0n ? letters : `${letters} ${extra}`
    const known = this.#flags.get(key)
    if (known !== undefined) return known
    const flags: Flag[] = []
    for (const letter of letters) {
      const at = letter.charCodeAt(0) - 0x61
      const flag = systemFlagOfLetter.get(letter) ?? (at < letterCount ? this.#table[at] : undefined)
      if (flag === undefined) this.sawUnknown ||= at >= 0
      else flags.push(flag)
    }
    let at = letterCount
    for (let bits = extra; bits !== 0n; bits >>= 1n) {
      const flag = this.#table[at++]
      if ((bits & 1n) === 0n) continue
      if (flag === undefined) this.sawUnknown = true
      else flags.push(flag)
    }
    const shared = Object.freeze(flags)
    // Messages keep their array; forgetting it here only means that later ones share another.
    if (this.#flags.size >= maxSharedFlags) this.#flags.clear()
    this.#flags.set(key, shared)
    return shared
  }

  /** Keywords differ without regard to case (RFC 9051 section 2.3.2). `\Recent` and unknown system flags have no mark. */
  marksOf(flags: readonly Flag[]): { readonly marks: Marks; readonly missing: readonly string[] } {
    let letters = ''
    let extra = 0n
    const missing = new Map<string, string>()
    for (const flag of flags) {
      const folded = flag.toLowerCase()
      const system = letterOfSystemFlag.get(folded)
      if (system !== undefined) {
        letters += system
      } else if (!flag.startsWith('\\')) {
        const at = this.#table.findIndex((name) => name?.toLowerCase() === folded)
        if (at >= letterCount) extra |= 1n << BigInt(at - letterCount)
        else if (at >= 0) letters += String.fromCharCode(0x61 + at)
        else missing.set(folded, missing.get(folded) ?? flag)
      }
    }
    return { marks: { letters: sortLetters(letters), extra }, missing: [...missing.values()] }
  }

  /** With these too; `undefined` when there is no room or a name is too long. What was given never changes. */
  with(names: readonly string[], limits: MaildirLimits): Keywords | undefined {
    const table = [...this.#table]
    for (const name of names) {
      const gap = table.indexOf(undefined)
      if (!/^[!-~]+$/.test(name) || name.length > limits.maxKeywordLength) return undefined
      if (gap < 0 && table.length >= limits.maxKeywords) return undefined
      table[gap < 0 ? table.length : gap] = name
    }
    return new Keywords(table)
  }

  static async read(disk: Disk, folder: string, limits: MaildirLimits): Promise<Keywords> {
    const table: (string | undefined)[] = []
    const takeLines = (text: string | undefined, from: number, to: number) => {
      for (const line of (text ?? '').split('\n')) {
        const parts = /^(\d{1,2}) ([!-~]+)$/.exec(line)
        const at = Number(parts?.[1])
        if (parts === null || at < from || at >= to) continue
        while (table.length < at) table.push(undefined)
        table[at] = parts[2]
      }
    }
    const read = (name: string) => readSmallFile(disk, `${folder}/${name}`, limits)
    takeLines(await read(keywordsName), 0, Math.min(letterCount, limits.maxKeywords))
    takeLines(await read(moreFileName), letterCount, limits.maxKeywords)
    return new Keywords(table)
  }

  /** The caller holds the mailbox's lock. Durable before a message has a new mark. */
  async write(disk: Disk, folder: string): Promise<void> {
    const lines = this.#table.map((name, at) => (name === undefined ? '' : `${at} ${name}\n`))
    if (lines.length > letterCount) {
      await replaceFile(disk, folder, moreFileName, async (handle) => {
        await handle.writeFile(lines.slice(letterCount).join(''))
      })
    }
    // Last and always: its time tells others that there is something new in either.
    await replaceFile(disk, folder, keywordsName, async (handle) => {
      await handle.writeFile(lines.slice(0, letterCount).join(''))
    })
  }
}
