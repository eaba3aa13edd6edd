/* The argument of NOTIFY: RFC 5465 section 8. */
import { parseFetchItem, type FetchItem } from './fetch-items.ts'
import type { Tokens } from './tokens.ts'

/** The events that can be told of, in the spelling of the standard. */
export const notifyEvents = ['MessageNew', 'MessageExpunge', 'FlagChange', 'MailboxName', 'SubscriptionChange'] as const

export type NotifyEvent = (typeof notifyEvents)[number]

/** Mailboxes that an event group is about; names as they were sent. */
export type NotifyFilter =
  | { readonly of: 'selected' | 'selected-delayed' }
  | { readonly of: 'inboxes' | 'personal' | 'subscribed' }
  | { readonly of: 'subtree' | 'mailboxes'; readonly names: readonly string[] }

export interface NotifyGroup {
  readonly filter: NotifyFilter
  /** None of `NONE`. */
  readonly events: ReadonlySet<NotifyEvent>
  /** What is told of a new message of the selected mailbox. */
  readonly items: readonly FetchItem[]
}

export interface NotifySet {
  /** The state of each mailbox is told before it is watched. */
  readonly status: boolean
  readonly groups: readonly NotifyGroup[]
}

/** `unknown-event`: the grammar fits, and something is asked for that is not told here. */
export type NotifyFault = 'syntax' | 'unknown-event'

/**
 * `notify = "NOTIFY" SP (notify-set / notify-none)`, `notify-set = "SET" [SP "STATUS"] SP event-groups`, from behind the
 * name.
 *
 * @returns `none` for NOTIFY NONE.
 */
export function parseNotify(tokens: Tokens): NotifySet | 'none' | NotifyFault {
  if (!tokens.space()) return 'syntax'
  if (tokens.word('NONE')) return tokens.isAtEnd ? 'none' : 'syntax'
  if (!tokens.word('SET') || !tokens.space()) return 'syntax'
  const status = tokens.word('STATUS')
  if (status && !tokens.space()) return 'syntax'
  const groups: NotifyGroup[] = []
  let isUnknown = false
  do {
    const group = groups.length < tokens.limits.maxListElements ? parseGroup(tokens) : undefined
    if (group === undefined) return 'syntax'
    if (group.fault === 'syntax') return 'syntax'
    isUnknown ||= group.fault !== undefined
    groups.push(group)
  } while (tokens.space())
  // Section 6.1: one of the two that are about the selected mailbox.
  if (!tokens.isAtEnd || groups.filter(({ filter }) => isOfSelected(filter)).length > 1) return 'syntax'
  return isUnknown ? 'unknown-event' : { status, groups }
}

export function isOfSelected({ of }: NotifyFilter): boolean {
  return of === 'selected' || of === 'selected-delayed'
}

/** `event-group = "(" filter-mailboxes SP events ")"`, `events = ("(" event *(SP event) ")") / "NONE"` */
function parseGroup(tokens: Tokens): (NotifyGroup & { readonly fault?: NotifyFault }) | undefined {
  const filter = tokens.take('(') ? parseFilter(tokens) : undefined
  if (filter === undefined || !tokens.space()) return undefined
  if (tokens.word('NONE')) return tokens.take(')') ? { filter, events: new Set(), items: [] } : undefined
  let items: readonly FetchItem[] = []
  let isUnknown = false
  const names = tokens.list((): NotifyEvent | 'unknown' | undefined => {
    const name = tokens.atom()?.toLowerCase()
    if (name === undefined) return undefined
    const event = notifyEvents.find((known) => known.toLowerCase() === name)
    if (event === 'MessageNew') {
      const asked = parseItems(tokens)
      if (asked === undefined) return undefined
      items = asked
    }
    isUnknown ||= event === undefined
    return event ?? 'unknown'
  })
  if (names === undefined || names.length === 0 || !tokens.take(')')) return undefined
  if (isUnknown) return { filter, events: new Set(), items, fault: 'unknown-event' }
  const group = { filter, events: new Set(names.filter((name) => name !== 'unknown')), items }
  return isConsistent(group) ? group : undefined
}

/**
 * Section 5: new and expunged messages go together, flags only with them; section 6.1: of the selected nothing else;
 * section 8: of others there is nothing to fetch.
 */
function isConsistent({ filter, events, items }: NotifyGroup): boolean {
  const tellsMessages = events.has('MessageNew')
  if (events.has('MessageExpunge') !== tellsMessages) return false
  if (events.has('FlagChange') && !tellsMessages) return false
  if (!isOfSelected(filter)) return items.length === 0
  return !events.has('MailboxName') && !events.has('SubscriptionChange')
}

/** `[SP "(" fetch-att *(SP fetch-att) ")"]` behind MessageNew; none is no items. */
function parseItems(tokens: Tokens): readonly FetchItem[] | undefined {
  const start = tokens.at
  if (!tokens.space() || tokens.text[tokens.at] !== '(') {
    tokens.at = start
    return []
  }
  const items = tokens.list(() => parseFetchItem(tokens))
  return items?.length === 0 ? undefined : items
}

function parseFilter(tokens: Tokens): NotifyFilter | undefined {
  for (const word of ['selected', 'selected-delayed', 'inboxes', 'personal', 'subscribed'] as const) {
    if (tokens.word(word.toUpperCase())) return { of: word }
  }
  for (const word of ['subtree', 'mailboxes'] as const) {
    if (!tokens.word(word.toUpperCase())) continue
    if (!tokens.space()) return undefined
    const single = tokens.text[tokens.at] === '(' ? undefined : tokens.astring()
    const names = single === undefined ? tokens.list(() => tokens.astring()) : [single]
    return names === undefined || names.length === 0 ? undefined : { of: word, names }
  }
  return undefined
}
