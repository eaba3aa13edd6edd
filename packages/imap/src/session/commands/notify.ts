/* NOTIFY: RFC 5465 section 3.1. */
import type { MailboxListing } from '@postern/core'
import { decodeMailboxName, hierarchyDelimiter } from '../../wire/mailbox-name.ts'
import { isOfSelected, notifyEvents, parseNotify, type NotifyFilter, type NotifyGroup } from '../../wire/notify.ts'
import { no, ok } from '../../wire/response.ts'
import type { Tokens } from '../../wire/tokens.ts'
import { badArguments } from '../arguments.ts'
import { tellNews } from '../news.ts'
import { NotificationOverflow, Notifications } from '../notifications.ts'
import { mailboxGone, type Outcome } from '../outcome.ts'
import { wantsAll, wantsNothing, type SessionState, type WantedNews } from '../state.ts'
import { lacksAbility } from './fetch.ts'

export async function notify(state: SessionState, args: Tokens): Promise<Outcome> {
  if (!state.can('watch')) return badArguments
  const asked = parseNotify(args)
  if (asked === 'syntax') return badArguments
  if (asked === 'unknown-event') return no('Not all of these events are told here', `BADEVENT (${supported})`)
  if (asked === 'none') {
    state.notify(undefined, wantsNothing)
    return ok('Nothing is told')
  }
  const ofSelected = asked.groups.find(({ filter }) => isOfSelected(filter))
  if (lacksAbility(state, ofSelected?.items ?? [])) return badArguments
  if (ofSelected?.items.some(({ item }) => item === 'MODSEQ') === true) state.enableModseq()
  // A NOOP is implied, and tells all that was not told so far, whatever is wanted from now on.
  const before = state.wanted
  state.wanted = { ...wantsAll, atOnce: before.atOnce }
  if (!(await state.look())) return mailboxGone
  await tellNews(state, true)
  state.wanted = before
  const others = asked.groups.filter(({ filter }) => !isOfSelected(filter))
  const notifications = new Notifications(
    state,
    others.map(({ filter, events }) => ({ holds: holderOf(filter, state.isUtf8), events })),
  )
  try {
    await notifications.begin(asked.status)
  } catch (error) {
    if (!(error instanceof NotificationOverflow)) throw error
    return no('Too many mailboxes to watch', 'NOTIFICATIONOVERFLOW')
  }
  // The client left meanwhile: nobody would end this any more.
  if (state.isOver) notifications.end()
  else state.notify(notifications, wantedBy(ofSelected))
  return ok('Notify completed')
}

const supported = notifyEvents.join(' ')

/** Section 3.1: of the selected mailbox nothing is told when it is not named. */
function wantedBy(group: NotifyGroup | undefined): WantedNews {
  if (group === undefined || group.events.size === 0) return wantsNothing
  return {
    messages: true,
    flags: group.events.has('FlagChange'),
    // Section 6.1.2: who counts messages must not lose count between two commands.
    atOnce: group.filter.of === 'selected' ? 'all' : 'all-but-expunges',
    items: group.items,
  }
}

/** Section 6. Mail may be delivered into any mailbox here, so that all are inboxes (section 6.3). */
function holderOf(filter: NotifyFilter, isUtf8: boolean): (listing: MailboxListing) => boolean {
  if (filter.of === 'subscribed') return ({ isSubscribed }) => isSubscribed
  if (!('names' in filter)) return () => true
  // What is no name is no mailbox either, and section 3.1 wants it ignored.
  const names = filter.names.map((name) => decodeMailboxName(name, isUtf8)).filter((name) => name !== undefined)
  const exact = new Set(names)
  if (filter.of === 'mailboxes') return ({ name }) => exact.has(name)
  return ({ name }) => exact.has(name) || names.some((top) => name.startsWith(`${top}${hierarchyDelimiter}`))
}
