/*
 * NOTIFY (RFC 5465): a session that is told of mailboxes which it has not selected, and says what it wants to hear of the
 * one that it has.
 *
 * The store only hints that something may have changed. So this keeps what the client was told last of every mailbox that
 * it watches, asks the store when there was a hint, and tells the difference. Nothing is told in the middle of a command:
 * hints wait for its end.
 */
import type { MailboxListing, MailboxStatus } from '@postern/core'
import type { NotifyEvent } from '../wire/notify.ts'
import { encodeListingOf } from './commands/list.ts'
import { encodeStatus, type StatusItem } from './commands/status.ts'
import type { SessionState } from './state.ts'

/** Mailboxes by name, and what is wanted of them. */
export interface NotifiedMailboxes {
  /** @param listing - of a name that may be any. */
  readonly holds: (listing: MailboxListing) => boolean
  readonly events: ReadonlySet<NotifyEvent>
}

/** What the client was told of a mailbox. */
interface Told {
  readonly listing: MailboxListing
  readonly events: ReadonlySet<NotifyEvent>
  /** Absent of a name that cannot be selected. */
  readonly status: MailboxStatus | undefined
  readonly stopWatching: () => void
}

/** More is asked for than one session, or all of them together, may watch. */
export class NotificationOverflow extends Error {
  override readonly name = 'NotificationOverflow'
}

export class Notifications {
  readonly #state: SessionState
  readonly #groups: readonly NotifiedMailboxes[]
  readonly #told = new Map<string, Told>()
  readonly #hinted = new Set<string>()
  #isListHinted = false
  #stopWatchingList: () => void = () => {}

  /** @param groups - of all that hold a mailbox the events are wanted, and none if one of them wants none (section 6). */
  constructor(state: SessionState, groups: readonly NotifiedMailboxes[]) {
    this.#state = state
    this.#groups = groups
  }

  /**
   * Begins to watch.
   *
   * @param tellsStatus - the state of each mailbox is told first.
   * @throws {NotificationOverflow} when that is too much; then nothing is watched.
   */
  async begin(tellsStatus: boolean): Promise<void> {
    if (this.#groups.every(({ events }) => events.size === 0)) return
    const { account } = this.#state
    try {
      // Watched before they are read, here and below: what changes in between is hinted at.
      this.#stopWatchingList = watched(
        account.watchList?.(() => {
          this.#isListHinted = true
          this.#state.wake()
        }),
      )
      for (const { name } of (await this.#followList()).arrived) {
        if (tellsStatus) this.#tellStatus(name)
      }
    } catch (error) {
      this.end()
      throw error
    }
  }

  end(): void {
    this.#stopWatchingList()
    for (const { stopWatching } of this.#told.values()) stopWatching()
    this.#told.clear()
    this.#hinted.clear()
    this.#isListHinted = false
  }

  /** There may be something to tell. */
  get hasHints(): boolean {
    return this.#isListHinted || this.#hinted.size > 0
  }

  /** A mailbox is not selected any more: what changed in it meanwhile is news of another mailbox from now on. */
  left(mailbox: string): void {
    if (this.#told.has(mailbox)) this.#hinted.add(mailbox)
  }

  /** Tells what changed. @throws {NotificationOverflow} when there is too much to watch by now. */
  async tell(): Promise<void> {
    if (this.#isListHinted) await this.#tellList(() => true)
    const hinted = [...this.#hinted]
    this.#hinted.clear()
    for (const name of hinted) {
      await this.#state.room()
      const told = this.#told.get(name)
      // Of the selected mailbox its messages are told, not how many there are.
      if (told?.status === undefined || this.#isSelected(name)) continue
      const found = await this.#state.account.status(name)
      if (!found.ok) continue
      this.#told.set(name, { ...told, status: found.value })
      if (isNews(told.events, told.status, found.value)) this.#tellStatus(name)
    }
  }

  /** After a command of this client: it knows what it did to these names (section 5). */
  async passOver(names: readonly string[]): Promise<void> {
    if (this.#groups.every(({ events }) => events.size === 0)) return
    const isOwn = (other: string): boolean =>
      names.some((name) => other === name || other.startsWith(`${name}/`) || name.startsWith(`${other}/`))
    try {
      await this.#tellList((name) => !isOwn(name))
    } catch (error) {
      if (!(error instanceof NotificationOverflow)) throw error
      // Told when this command is answered.
      this.#isListHinted = true
    }
  }

  // ── names ─────────────────────────────────────────────────────────────────

  async #tellList(mayTell: (name: string) => boolean): Promise<void> {
    this.#isListHinted = false
    const { arrived, gone, changed, listed } = await this.#followList()
    const arrivedAs = new Map(arrived.map((told) => [idOf(told), told.name]))
    const renamedFrom = new Map<string, string>()
    // A name that is subscribed stays in the list when its mailbox is gone.
    const lost = changed.filter(({ before, now }) => exists(before.listing) && !exists(now.listing))
    for (const told of [...gone, ...lost.map(({ before, now: { name } }) => ({ ...before, name }))]) {
      const id = idOf(told)
      const to = id === undefined ? undefined : arrivedAs.get(id)
      if (to !== undefined) renamedFrom.set(to, told.name)
    }
    const renamed = new Set(renamedFrom.values())
    for (const told of gone) {
      const now = listed.get(told.name) ?? { name: told.name, attributes: ['\\NonExistent'], isSubscribed: false }
      if (!renamed.has(told.name) && mayTell(told.name) && isNewsOf(told.listing, now, [told.events])) {
        this.#writeListing(now)
      }
    }
    for (const told of arrived) {
      const { name, listing, events, status } = told
      if (!mayTell(name)) continue
      const isNamed = exists(listing) && events.has('MailboxName')
      if (isNamed || (listing.isSubscribed && events.has('SubscriptionChange'))) {
        this.#writeListing(listing, renamedFrom.get(name))
      }
      if (status !== undefined && status.messages > 0) this.#tellStatus(name)
    }
    for (const { before, now } of changed) {
      if (renamed.has(now.name) || !mayTell(now.name)) continue
      if (isNewsOf(before.listing, now.listing, [before.events, now.events])) this.#writeListing(now.listing)
      if (!before.events.has('MessageNew')) this.#tellStatus(now.name)
    }
  }

  /** Reads the names again, watches what is new, and lets go of what is gone. */
  async #followList(): Promise<{
    readonly arrived: readonly NamedTold[]
    readonly gone: readonly NamedTold[]
    readonly changed: readonly { readonly before: Told; readonly now: NamedTold }[]
    /** Every name, watched or not. */
    readonly listed: ReadonlyMap<string, MailboxListing>
  }> {
    const state = this.#state
    const wanted = new Map<string, { listing: MailboxListing; events: ReadonlySet<NotifyEvent> }>()
    const listed = new Map<string, MailboxListing>()
    for (const listing of await state.account.list()) {
      // A client may name thousands of mailboxes in thousands of groups, and others have their turn between two of ours.
      await state.room()
      listed.set(listing.name, listing)
      const events = this.#eventsOf(listing)
      if (events.size > 0) wanted.set(listing.name, { listing, events })
      if (wanted.size > state.limits.maxNotifiedMailboxes) throw new NotificationOverflow()
    }
    const gone: NamedTold[] = []
    for (const [name, told] of this.#told) {
      if (wanted.has(name)) continue
      told.stopWatching()
      this.#told.delete(name)
      gone.push({ name, ...told })
    }
    const arrived: NamedTold[] = []
    const changed: { before: Told; now: NamedTold }[] = []
    for (const [name, { listing, events }] of wanted) {
      await state.room()
      const before = this.#told.get(name)
      const canOpen = exists(listing) && !listing.attributes.includes('\\Noselect')
      if (before !== undefined && canOpen === (before.status !== undefined) && areSame(before.events, events)) {
        const now = { ...before, listing }
        this.#told.set(name, now)
        changed.push({ before, now: { name, ...now } })
        continue
      }
      before?.stopWatching()
      const told = await this.#watch(name, listing, events, canOpen)
      if (before === undefined) {
        arrived.push({ name, ...told })
        continue
      }
      changed.push({ before, now: { name, ...told } })
      if (!before.events.has('MessageNew') || before.status === undefined || told.status === undefined) continue
      // What came since it was told last is news still.
      this.#told.set(name, { ...told, status: before.status })
      this.#hinted.add(name)
    }
    return { arrived, gone, changed, listed }
  }

  #eventsOf(listing: MailboxListing): ReadonlySet<NotifyEvent> {
    const wanted = new Set<NotifyEvent>()
    for (const { holds, events } of this.#groups) {
      if (!holds(listing)) continue
      if (events.size === 0) return events
      for (const event of events) wanted.add(event)
    }
    return wanted
  }

  async #watch(name: string, listing: MailboxListing, events: Told['events'], canOpen: boolean): Promise<Told> {
    const { account, wake } = this.#state
    const stopWatching =
      canOpen && events.has('MessageNew')
        ? watched(
            account.watchMailbox?.(name, () => {
              this.#hinted.add(name)
              wake()
            }),
          )
        : () => {}
    // Known at once, so that it is let go of whatever comes next.
    const told: Told = { listing, events, status: undefined, stopWatching }
    this.#told.set(name, told)
    const found = canOpen ? await account.status(name) : undefined
    if (found?.ok !== true) return told
    const withStatus = { ...told, status: found.value }
    this.#told.set(name, withStatus)
    return withStatus
  }

  // ── words ─────────────────────────────────────────────────────────────────

  #isSelected(name: string): boolean {
    return this.#state.selected?.mailbox.name === name
  }

  /** Sections 5.1 to 5.3: at least these items, and the modification sequence for those who can use it. */
  #tellStatus(name: string): void {
    const told = this.#told.get(name)
    if (told?.status === undefined || !told.events.has('MessageNew') || this.#isSelected(name)) return
    const items: StatusItem[] = ['MESSAGES', 'UIDNEXT', 'UIDVALIDITY']
    const tellsFlags = told.events.has('FlagChange')
    if (tellsFlags) items.push('UNSEEN')
    if (this.#state.can('modseq') && (tellsFlags || this.#state.enabled.has('CONDSTORE'))) items.push('HIGHESTMODSEQ')
    this.#state.write(encodeStatus(this.#state, name, items, told.status))
  }

  /** Section 5.5: `\Subscribed` stands there if and only if it is; section 5.4: where a name came from. */
  #writeListing(listing: MailboxListing, oldName?: string): void {
    this.#state.write(encodeListingOf(this.#state, listing, oldName))
  }
}

function areSame(some: ReadonlySet<NotifyEvent>, others: ReadonlySet<NotifyEvent>): boolean {
  return some.size === others.size && others.isSupersetOf(some)
}

const idOf = ({ status }: Told): string | undefined => status?.mailboxId

type NamedTold = Told & { readonly name: string }

function exists({ attributes }: MailboxListing): boolean {
  return !attributes.includes('\\NonExistent')
}

/**
 * Whether a name that was told so is told again (sections 5.4 and 5.5).
 *
 * @param wanted - the events of before and of now: a subscription may be what changed them.
 */
function isNewsOf(before: MailboxListing, now: MailboxListing, wanted: readonly ReadonlySet<NotifyEvent>[]): boolean {
  const wants = (event: NotifyEvent): boolean => wanted.some((events) => events.has(event))
  const isOther = before.attributes.join(' ') !== now.attributes.join(' ')
  return (isOther && wants('MailboxName')) || (before.isSubscribed !== now.isSubscribed && wants('SubscriptionChange'))
}

function isNews(events: ReadonlySet<NotifyEvent>, before: MailboxStatus, now: MailboxStatus): boolean {
  if (before.uidValidity !== now.uidValidity || before.uidNext !== now.uidNext) return true
  if (before.messages !== now.messages) return true
  return events.has('FlagChange') && before.highestModseq !== now.highestModseq
}

/** A store that cannot watch one more. */
function watched(stop: (() => void) | undefined): () => void {
  if (stop === undefined) throw new NotificationOverflow()
  return stop
}
