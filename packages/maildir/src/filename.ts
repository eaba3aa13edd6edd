/*
 * Names of message files.
 *
 *   1732190400.M123456P4711Q8_5f2c9a81d3e07b64.mx.example.org,S=2048,W=2048:2,FS
 *   \_________________ base name: never changes ____________________________/ \_ flags
 *
 * A name is kept as a string with one character for each byte (latin1), since a file name is bytes and other programs
 * write any of them. The base name alone makes a message unique; the flags behind `:2,` change by renaming.
 */
import { createHash, randomBytes } from 'node:crypto'
import { inTurns, sortInTurns } from './turns.ts'

/** The part of a file name that identifies the message, whatever its flags are. */
export function baseOf(name: string): string {
  const colon = name.indexOf(':')
  return colon < 0 ? name : name.slice(0, colon)
}

/** The flag letters of a file name, each once, in ASCII order: `D F P R S T`, then keywords `a` to `z`. */
export function lettersOf(name: string): string {
  const colon = name.indexOf(':2,')
  return colon < 0 || colon !== name.indexOf(':') ? '' : sortLetters(name.slice(colon + 3))
}

/** The letters that mean something here: system flags and keywords, in ASCII order. */
export const knownLetters = 'DFPRSTabcdefghijklmnopqrstuvwxyz'

/** Without the letters that mean nothing here. */
export function knownPart(letters: string): string {
  // Almost always all of them: each message of a mailbox is asked about, and a search by pattern costs more than the rest.
  for (const letter of letters) if (!knownLetters.includes(letter)) return letters.replaceAll(/[^DFPRSTa-z]/g, '')
  return letters
}

/** Letters only, each once, in ASCII order: maildir(5) asks for the order, and readers may stop at the first other byte. */
export function sortLetters(letters: string): string {
  let isSorted = true
  for (let i = 0; i < letters.length && isSorted; i++) {
    const code = letters.charCodeAt(i)
    const isLetter = (code >= 0x41 && code <= 0x5a) || (code >= 0x61 && code <= 0x7a)
    isSorted = isLetter && (i === 0 || letters.charCodeAt(i - 1) < code)
  }
  if (isSorted) return letters
  return [...new Set(letters.replaceAll(/[^A-Za-z]/g, ''))].sort().join('')
}

export const flaggedName = (base: string, letters: string): string => `${base}:2,${letters}`

/** What a base name claims of its file: `S=` is its size, `W=` its size with CRLF line ends. Both may lie. */
export function sizesIn(base: string): { readonly raw: number | undefined; readonly crlf: number | undefined } {
  return { raw: numberAfter(base, ',S='), crlf: numberAfter(base, ',W=') }
}

/**
 * The message's id (RFC 8474), the same for its copies: `E=` of a name that a copy was given, or else made from the base
 * name, which no other message has. A sum of 128 bits, so that ids tell nothing of hosts and processes.
 */
export function emailIdOf(base: string): string {
  const given = /,E=([A-Za-z0-9_-]{1,64})(?=,|$)/.exec(base)
  return given?.[1] ?? `M${createHash('sha256').update(base, 'latin1').digest('base64url').slice(0, 22)}`
}

function numberAfter(base: string, mark: string): number | undefined {
  const at = base.indexOf(mark)
  if (at < 0) return undefined
  const digits = /^\d{1,15}/.exec(base.slice(at + mark.length, at + mark.length + 15))
  return digits === null ? undefined : Number(digits[0])
}

/**
 * Puts names in the order of the moments that they carry, so that UIDs ascend in order of arrival.
 *
 * @param perTurn - files handled before others have the event loop.
 */
export async function sortByArrival<T extends { readonly name: string }>(
  files: Iterable<T>,
  perTurn: number,
): Promise<T[]> {
  const dated: { readonly file: T; readonly micros: number }[] = []
  await inTurns(files, perTurn, (file) => dated.push({ file, micros: arrivalOf(file.name) }))
  const sorted = await sortInTurns(
    dated,
    perTurn,
    (a, b) => a.micros - b.micros || (a.file.name < b.file.name ? -1 : 1),
  )
  return sorted.map(({ file }) => file)
}

/** When the file came into its mailbox, as its name says: a copy has a name of its own. */
export function savedDateOf(name: string): Date | undefined {
  const micros = arrivalOf(name)
  return micros === 0 ? undefined : new Date(micros / 1000)
}

/** Microseconds since 1970; 0 for a name that does not begin with a time. */
function arrivalOf(name: string): number {
  const parts = /^(\d{1,10})\.(?:[A-Z0-9]*?M(\d{1,6}))?/.exec(name)
  return parts === null ? 0 : Number(parts[1]) * 1_000_000 + Number(parts[2] ?? 0)
}

/**
 * Makes names that no other delivery makes: time, process, counter, and 64 random bits, so that neither a clock that
 * jumps back nor a reused process id repeats one.
 */
export class UniqueNames {
  readonly #host: string
  readonly #now: () => Date
  #count = 0

  constructor(hostname: string, now: () => Date) {
    // maildir(5) writes `/` and `:` as octal; other bytes that mean something in a name are dropped with them.
    this.#host = hostname.replaceAll(/[^A-Za-z0-9.-]/g, '-').slice(0, 64) || 'localhost'
    this.#now = now
  }

  /** A name for `tmp/`, where the size is not known yet. */
  next(): string {
    const ms = this.#now().getTime()
    const seconds = Math.max(0, Math.floor(ms / 1000))
    const micros = (((ms % 1000) + 1000) % 1000) * 1000 + (this.#count % 1000)
    this.#count += 1
    return `${seconds}.M${Math.floor(micros)}P${process.pid}Q${this.#count}_${randomBytes(8).toString('hex')}.${this.#host}`
  }

  /** The name under which a message of `bytes` with CRLF line ends becomes visible. */
  sized(name: string, bytes: number, crlfBytes: number = bytes): string {
    return `${name},S=${bytes},W=${crlfBytes}`
  }
}

/** A path for the file system. Names that are not ASCII go as bytes, since a string would be written as UTF-8. */
export function pathOf(folder: string, name: string): string | Buffer {
  // oxlint-disable-next-line no-control-regex -- the range of ASCII is what is meant
  if (/^[\x00-\x7f]*$/.test(name)) return `${folder}/${name}`
  return Buffer.concat([Buffer.from(`${folder}/`, 'utf8'), Buffer.from(name, 'latin1')])
}

/** The letters of a message after a change of its flags. */
export function changedLetters(op: 'add' | 'remove' | 'replace', before: string, letters: string): string {
  switch (op) {
    case 'add':
      return sortLetters(before + letters)
    case 'remove':
      return without(before, letters)
    case 'replace':
      return letters
    default:
      throw new Error('no such change of flags')
  }
}

/** Likewise for the bits of keywords without a letter. */
export function changedBits(op: 'add' | 'remove' | 'replace', before: bigint, bits: bigint): bigint {
  if (op === 'add') return before | bits
  return op === 'remove' ? before & ~bits : bits
}

function without(before: string, letters: string): string {
  let left = ''
  for (const letter of before) if (!letters.includes(letter)) left += letter
  return left
}
