/*
 * What mailboxes are for (RFC 6154). A name that clients look for tells it by itself; a use that was asked for at CREATE is
 * kept in the file `postern-special-use` of the account, one `use SP folder` a line, spelled as in `subscriptions`.
 * Replaced by rename under the account's lock. Lines that make no sense are nobody's use, and go at the next change.
 */
import type { SpecialUse } from '@postern/core'
import { readSmallFileOrNothing, replaceFile } from './durable.ts'
import type { MaildirLimits } from './limits.ts'
import { mailboxNameOf, parseMailboxName } from './names.ts'
import type { Disk } from './options.ts'

const fileName = 'postern-special-use'

/** One mailbox for each use, so spelled exactly. */
const byName: ReadonlyMap<string, SpecialUse> = new Map([
  ['Archive', '\\Archive'],
  ['Drafts', '\\Drafts'],
  ['Junk', '\\Junk'],
  ['Sent', '\\Sent'],
  ['Trash', '\\Trash'],
])

/** The uses of an account's mailboxes. */
export class SpecialUses {
  readonly #disk: Disk
  readonly #maildir: string
  readonly #limits: MaildirLimits

  constructor(disk: Disk, maildir: string, limits: MaildirLimits) {
    this.#disk = disk
    this.#maildir = maildir
    this.#limits = limits
  }

  /** The use of each mailbox of these that has one. What was asked for goes before what a name suggests. */
  async of(existing: ReadonlySet<string>): Promise<ReadonlyMap<string, SpecialUse>> {
    const asked = await this.#read()
    const uses = new Map([...asked].filter(([name]) => existing.has(name)))
    const taken = new Set(uses.values())
    for (const [name, use] of byName) if (existing.has(name) && !uses.has(name) && !taken.has(use)) uses.set(name, use)
    return uses
  }

  /** A mailbox of that name begins, for this use or none. The account's lock is held. */
  async set(name: string, use: SpecialUse | undefined): Promise<void> {
    const asked = await this.#read()
    if (use === undefined && !asked.has(name)) return
    asked.delete(name)
    if (use !== undefined) asked.set(name, use)
    await this.#write(asked)
  }

  /** Mailboxes have new names. The account's lock is held. */
  async rename(moves: ReadonlyMap<string, string>): Promise<void> {
    const asked = await this.#read()
    if (![...moves.keys()].some((name) => asked.has(name))) return
    await this.#write(new Map(Array.from(asked, ([name, use]) => [moves.get(name) ?? name, use])))
  }

  /** By the names of the mailboxes. */
  async #read(): Promise<Map<string, SpecialUse>> {
    const text = (await readSmallFileOrNothing(this.#disk, `${this.#maildir}/${fileName}`, this.#limits)) ?? ''
    const uses = new Map<string, SpecialUse>()
    for (const line of text.split('\n')) {
      const [word, folder] = splitOnce(line)
      const use = [...byName.values()].find((known) => known === word)
      const name = folder === undefined ? undefined : mailboxNameOf(`.${folder}`, this.#limits)
      if (use !== undefined && name !== undefined) uses.set(name, use)
    }
    return uses
  }

  async #write(uses: ReadonlyMap<string, SpecialUse>): Promise<void> {
    const lines: string[] = []
    for (const [name, use] of uses) {
      const parsed = parseMailboxName(name, this.#limits)
      if (parsed.ok) lines.push(`${use} ${parsed.value.folder.slice(1)}\n`)
    }
    await replaceFile(this.#disk, this.#maildir, fileName, async (handle) => {
      await handle.writeFile(lines.join(''))
    })
  }
}

function splitOnce(line: string): readonly [string, string | undefined] {
  const space = line.indexOf(' ')
  return space === -1 ? [line, undefined] : [line.slice(0, space), line.slice(space + 1)]
}
