import {
  type Account,
  type Awaitable,
  type Flag,
  type Mailbox,
  type MailboxChanges,
  type MailboxListing,
  type MailboxStatus,
  type MailStore,
  type MessageContent,
  type MessageRecord,
  type StoreOutcome,
  type Uid,
  type UidValidity,
} from '@postern/core'

/** A message that a program shows. */
export interface ShownMessage {
  /** 1 to 4294967295; a message keeps it, and no other gets it. */
  readonly uid: number
  readonly flags?: readonly Flag[]
  readonly internalDate: Date
  /** Of `content`. */
  readonly bytes: number
  /** The message with CRLF line ends. Asked for when somebody reads it. */
  content(): Awaitable<Buffer>
}

/** Where mail that is only shown comes from. */
export interface MailSource {
  /** Names of an account's mailboxes beside INBOX, `/` between levels. */
  mailboxes?(account: string): Awaitable<readonly string[]>
  /** What a mailbox holds now. Asked again whenever a client looks. */
  messages(account: string, mailbox: string): Awaitable<readonly ShownMessage[]>
  /** A larger one says that every UID means something else than before. 1 when absent. */
  readonly uidValidity?: number
}

/**
 * A store of mail that is shown and cannot be changed: feeds, archives, reports. Every mailbox is read-only, and whatever
 * would change something is refused.
 */
export function showMail(source: MailSource): MailStore {
  return {
    openAccount: async (account) => new ShownAccount(source, account),
    deliver: async () => unchangeable,
  }
}

const unchangeable = { ok: false, refusal: 'bad-name', detail: 'mail that is only shown' } as const
const missing = { ok: false, refusal: 'no-such-mailbox', detail: 'not shown' } as const

class ShownAccount implements Account {
  readonly #source: MailSource
  readonly #account: string

  constructor(source: MailSource, account: string) {
    this.#source = source
    this.#account = account
  }

  async list(): Promise<readonly MailboxListing[]> {
    const names = await this.#names()
    return names.map((name) => ({
      name,
      attributes: [names.some((other) => other.startsWith(`${name}/`)) ? '\\HasChildren' : '\\HasNoChildren'],
      isSubscribed: true,
    }))
  }

  async status(name: string): Promise<StoreOutcome<MailboxStatus>> {
    const opened = await this.open(name)
    if (!opened.ok) return opened
    const { uidValidity, records, uidNext } = opened.value as ShownMailbox
    const messages = records()
    const without = (flag: Flag): number => messages.filter(({ flags }) => !flags.includes(flag)).length
    const status: MailboxStatus = {
      uidValidity,
      uidNext: uidNext(),
      messages: messages.length,
      unseen: without('\\Seen'),
      deleted: messages.length - without('\\Deleted'),
      recent: 0,
      bytes: messages.reduce((sum, { bytes }) => sum + bytes, 0),
    }
    return { ok: true, value: status }
  }

  async open(name: string): Promise<StoreOutcome<Mailbox>> {
    if (!(await this.#names()).includes(name)) return missing
    const mailbox = new ShownMailbox(this.#source, this.#account, name)
    await mailbox.refresh()
    return { ok: true, value: mailbox }
  }

  create = async (): Promise<typeof unchangeable> => unchangeable
  delete = async (): Promise<typeof unchangeable> => unchangeable
  rename = async (): Promise<typeof unchangeable> => unchangeable
  subscribe = async (): Promise<typeof unchangeable> => unchangeable
  close = async (): Promise<void> => {}

  async #names(): Promise<readonly string[]> {
    return ['INBOX', ...((await this.#source.mailboxes?.(this.#account)) ?? [])]
  }
}

class ShownMailbox implements Mailbox {
  readonly name: string
  readonly uidValidity: UidValidity
  readonly mode = 'read-only'
  readonly #source: MailSource
  readonly #account: string
  #shown: ReadonlyMap<Uid, ShownMessage> = new Map()
  #records: readonly MessageRecord[] = []
  #uidNext = 1

  constructor(source: MailSource, account: string, name: string) {
    this.#source = source
    this.#account = account
    this.name = name
    this.uidValidity = (source.uidValidity ?? 1) as UidValidity
  }

  records = (): readonly MessageRecord[] => this.#records
  uidNext = (): Uid => this.#uidNext as Uid
  recent = (): ReadonlySet<Uid> => new Set()
  watch = (): (() => void) => () => {}
  copy = async (): Promise<typeof unchangeable> => unchangeable
  move = async (): Promise<typeof unchangeable> => unchangeable
  setFlags = async (): Promise<typeof unchangeable> => unchangeable
  expunge = async (): Promise<typeof unchangeable> => unchangeable
  close = async (): Promise<void> => {}

  keywords(): readonly string[] {
    return [...new Set(this.#records.flatMap(({ flags }) => flags.filter((flag) => !flag.startsWith('\\'))))]
  }

  async refresh(): Promise<MailboxChanges> {
    const before = new Map(this.#records.map((record) => [record.uid, record]))
    const messages = [...(await this.#source.messages(this.#account, this.name))].sort((a, b) => a.uid - b.uid)
    this.#shown = new Map(messages.map((message) => [message.uid as Uid, message]))
    this.#records = messages.map(({ uid, flags = [], bytes, internalDate }) => ({
      uid: uid as Uid,
      flags,
      bytes,
      internalDate,
    }))
    this.#uidNext = Math.max(this.#uidNext, (messages.at(-1)?.uid ?? 0) + 1)
    return {
      arrived: this.#records.filter(({ uid }) => !before.has(uid)),
      expunged: [...before.keys()].filter((uid) => !this.#shown.has(uid)),
      changed: this.#records.filter(({ uid, flags }) => {
        const known = before.get(uid)
        return known !== undefined && known.flags.join(' ') !== flags.join(' ')
      }),
    }
  }

  async content(uid: Uid): Promise<MessageContent | undefined> {
    const message = this.#shown.get(uid)
    if (message === undefined) return undefined
    const octets = await message.content()
    return {
      bytes: octets.length,
      read: async (offset, length) => Buffer.from(octets.subarray(offset, offset + length)),
      close: async () => {},
    }
  }
}
