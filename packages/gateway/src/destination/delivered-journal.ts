/*
 * Who has a message whose client was told to send it again, on disk, for all workers of this machine: one file for each
 * pair of sender and recipient, with a line for each message, its SHA-256, and another where that is crossed out. Names are
 * hashes, so they tell nobody's address and no address can lead anywhere.
 *
 * A line is appended in one write and synced with its folder before the client hears a word, so after a crash there are
 * whole lines and perhaps half of a last one, which matches nothing. What is older than a retry may be is swept away.
 */
import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { lstat, mkdir, open, readdir, readFile, stat, unlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { DeliveredJournal, DeliveredPair } from '@postern/smtp'
import { foldAddress } from '../route/patterns.ts'
import { limits } from '../limits.ts'

export interface FileJournalOptions {
  /** Made when it is first needed. */
  readonly folder: string
  /** For how long a client may send a message again. */
  readonly keepMs: number
  readonly now?: () => number
}

export class FileJournal implements DeliveredJournal {
  readonly #folder: string
  readonly #keepMs: number
  readonly #now: () => number
  #timer: NodeJS.Timeout | undefined
  /** Files at the last sweep, and those since. */
  #count = 0

  constructor({ folder, keepMs, now = Date.now }: FileJournalOptions) {
    this.#folder = folder
    this.#keepMs = keepMs
    this.#now = now
  }

  /** Sweeps now, and from time to time; clients need not wait for that. Rejects when the folder cannot be read. */
  async start(): Promise<void> {
    this.#count = (await namesIn(this.#folder)).length
    const sweep = (): void => void this.sweep().catch(ignore)
    this.#timer = setInterval(sweep, limits.journalSweepMs).unref()
    sweep()
  }

  close(): void {
    clearInterval(this.#timer)
  }

  async delivered(pair: DeliveredPair): Promise<ReadonlySet<string>> {
    try {
      const text = await readFile(this.#fileOf(pair), 'latin1')
      const { mtimeMs } = await stat(this.#fileOf(pair))
      if (this.#now() - mtimeMs > this.#keepMs) return nothing
      return standingIn(text.split('\n'))
    } catch (error) {
      if (isMissing(error)) return nothing
      throw error
    }
  }

  async note(pairs: readonly DeliveredPair[], sha256: string): Promise<void> {
    if (this.#count + pairs.length > limits.maxJournalFiles) throw new Error('the journal of deliveries is full')
    const made = await mkdir(this.#folder, { recursive: true, mode: 0o700 })
    await Promise.all(pairs.map((pair) => this.#append(this.#fileOf(pair), sha256)))
    await syncFolder(this.#folder)
    if (made !== undefined) await syncFolder(dirname(made))
  }

  async forget(pairs: readonly DeliveredPair[], sha256: string): Promise<void> {
    await Promise.all(pairs.map((pair) => this.#append(this.#fileOf(pair), `${crossedOut}${sha256}`)))
  }

  /** Removes what is too old to be asked for. Any number of workers may do so at once. */
  async sweep(): Promise<void> {
    let count = 0
    for (const name of await namesIn(this.#folder)) {
      const file = join(this.#folder, name)
      try {
        const found = await lstat(file)
        if (!found.isFile()) continue
        if (this.#now() - found.mtimeMs > this.#keepMs) await unlink(file)
        else count++
      } catch (error) {
        // Another worker was faster.
        if (!isMissing(error)) throw error
      }
    }
    this.#count = count
  }

  async #append(file: string, line: string): Promise<void> {
    const { O_WRONLY, O_APPEND, O_CREAT, O_NOFOLLOW } = constants
    const handle = await open(file, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW, 0o600)
    try {
      const { size } = await handle.stat()
      if (size === 0) this.#count++
      // A sender of thousands of half-delivered messages to one recipient: the oldest give way.
      if (size >= limits.maxJournalFileBytes) await handle.truncate(0)
      // Half a line that a crash left ends here.
      await handle.write(`\n${line}\n`)
      await handle.sync()
    } finally {
      await handle.close()
    }
  }

  #fileOf({ reversePath, forwardPath }: DeliveredPair): string {
    const pair = `${withDomainFolded(reversePath)}\0${withDomainFolded(forwardPath)}`
    return join(this.#folder, createHash('sha256').update(pair).digest('hex'))
  }
}

/** Before the hash of a message that all have now. */
const crossedOut = '-'

function standingIn(lines: readonly string[]): ReadonlySet<string> {
  const standing = new Set<string>()
  for (const line of lines) {
    if (line.startsWith(crossedOut)) standing.delete(line.slice(crossedOut.length))
    else if (line.length === 64) standing.add(line)
  }
  return standing
}

/** RFC 5321 section 2.4: whether `Ann` is `ann`, only their host knows. A client that comes again spells them as before. */
function withDomainFolded(address: string): string {
  const domainAt = address.lastIndexOf('@') + 1
  return address.slice(0, domainAt) + foldAddress(address.slice(domainAt))
}

/** A name is durable with its folder. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, constants.O_RDONLY | constants.O_DIRECTORY)
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** Whatever else is there, as `lost+found` of a disk for itself, is not ours. */
async function namesIn(folder: string): Promise<readonly string[]> {
  try {
    return (await readdir(folder)).filter((name) => /^[0-9a-f]{64}$/.test(name))
  } catch (error) {
    // Nothing was ever noted.
    if (isMissing(error)) return []
    throw error
  }
}

const nothing: ReadonlySet<string> = new Set()

function isMissing(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'ENOENT'
}

function ignore(): void {}
