import type { Mailbox, Uid } from '@postern/core'
import type { Part } from '../message/structure.ts'
import { encodeFlags, systemFlags } from '../wire/flags.ts'
import type { Enableable, WantedNews } from './state.ts'
import { MailboxView } from './view.ts'

/** Of all sessions that saved nothing: a set of its own would be memory for each. */
const nothingSaved: ReadonlySet<Uid> = new Set()

/** The selected mailbox: the store's handle, and what the client believes of it. */
export class SelectedMailbox {
  readonly mailbox: Mailbox
  readonly view: MailboxView
  /** RFC 9051 has no `\Recent`. */
  showsRecent = true
  /** What `$` stands for (RFC 5182). UIDs that are gone meanwhile name nothing. */
  saved: ReadonlySet<Uid> = nothingSaved
  /** Messages that this client put here, and that wait to be told; kept only while it wants items of new ones. */
  readonly own: Set<Uid> = new Set()
  readonly #maxKeywords: number
  #keywordsTold: ReadonlySet<string>
  #stopWatching: (() => void) | undefined
  /** The structure that was found last: clients fetch the parts of one message one by one. */
  #structure: { readonly uid: Uid; readonly root: Part } | undefined

  /** No change that the client was told of, and none that it was not, has a modification sequence between. */
  #toldModseq: bigint

  constructor(mailbox: Mailbox, maxKeywords: number, enabled: ReadonlySet<Enableable>) {
    this.mailbox = mailbox
    this.view = new MailboxView(mailbox.records(), mailbox.recent().size, enabled)
    this.#toldModseq = mailbox.highestModseq?.() ?? 0n
    this.#maxKeywords = maxKeywords
    this.#keywordsTold = new Set(mailbox.keywords())
  }

  get isReadOnly(): boolean {
    return this.mailbox.mode === 'read-only'
  }

  /** `* FLAGS`: all flags in use. */
  flagsResponse(): string {
    return `* FLAGS ${encodeFlags([...systemFlags, ...this.mailbox.keywords()], false)}\r\n`
  }

  /** `PERMANENTFLAGS`: what this client can change for good; `\*` while new keywords are taken. */
  permanentFlagsResponse(): string {
    const keywords = this.mailbox.keywords()
    const more = keywords.length < this.#maxKeywords ? ['\\*'] : []
    const flags = this.isReadOnly ? '()' : encodeFlags([...systemFlags, ...keywords, ...more], false)
    return `* OK [PERMANENTFLAGS ${flags}] Flags permitted\r\n`
  }

  /** Looks at the store, so that `tell` has what others did. */
  async look(): Promise<void> {
    this.view.absorb(await this.mailbox.refresh())
  }

  /** Everything that may be told now, as responses. */
  tell(mayExpunge: boolean, wanted: WantedNews): string {
    const recent = this.showsRecent ? this.mailbox.recent() : undefined
    const text = this.view.hasNews(mayExpunge, wanted)
      ? this.keywordsResponse() + this.view.tell(mayExpunge, recent, wanted)
      : ''
    if (!this.view.hasUntold) this.#toldModseq = this.mailbox.highestModseq?.() ?? 0n
    return text
  }

  /** The client will be silent for long: its view takes no memory of its own, if it can. */
  rest(): void {
    this.view.share(this.mailbox.records())
  }

  /** Up to it the client knows all. */
  get toldModseq(): bigint {
    return this.#toldModseq
  }

  /** `HIGHESTMODSEQ`, up to which the client knows all; empty of a store that keeps none. */
  highestModseqResponse(): string {
    if (this.mailbox.highestModseq === undefined) return ''
    return `* OK [HIGHESTMODSEQ ${this.#toldModseq}] Highest modification sequence\r\n`
  }

  /** Messages that are told with `\Recent`. */
  recent(): ReadonlySet<Uid> {
    return this.showsRecent ? this.mailbox.recent() : new Set()
  }

  /** `* FLAGS`, and what of them can be changed, when a keyword is there that was not told of; otherwise nothing. */
  keywordsResponse(): string {
    const keywords = this.mailbox.keywords()
    if (keywords.every((keyword) => this.#keywordsTold.has(keyword))) return ''
    this.#keywordsTold = new Set(keywords)
    return this.flagsResponse() + (this.isReadOnly ? '' : this.permanentFlagsResponse())
  }

  watch(onHint: () => void): void {
    this.#stopWatching ??= this.mailbox.watch(onHint)
  }

  stopWatching(): void {
    this.#stopWatching?.()
    this.#stopWatching = undefined
  }

  structureOf(uid: Uid): Part | undefined {
    return this.#structure?.uid === uid ? this.#structure.root : undefined
  }

  keepStructure(uid: Uid, root: Part): void {
    this.#structure = { uid, root }
  }

  async close(): Promise<void> {
    this.stopWatching()
    await this.mailbox.close()
  }
}
