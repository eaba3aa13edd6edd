import type { Awaitable } from '@postern/core'
import { writeMessage } from './commands/fetch.ts'
import type { SelectedMailbox } from './selected.ts'
import type { SessionState } from './state.ts'

/**
 * Everything of the selected mailbox that the client wants to hear and may be told now.
 *
 * @returns whether that was anything.
 */
export function tellNews(state: SessionState, mayExpunge: boolean): Awaitable<boolean> {
  const { selected, wanted } = state
  if (selected === undefined) return false
  const text = selected.tell(mayExpunge, wanted)
  state.write(text)
  return wanted.items.length === 0 ? text !== '' : tellArrived(state, selected, text !== '')
}

/** RFC 5465 section 5.2: a new message is told with the items that were asked for; one that the client put there is not. */
async function tellArrived(state: SessionState, selected: SelectedMailbox, hasTold: boolean): Promise<boolean> {
  const { items } = state.wanted
  for (const { uid } of selected.view.takeArrived()) {
    const message = selected.own.has(uid) ? undefined : selected.view.byUid(uid)
    if (message !== undefined) await writeMessage(state, message, items)
    await state.room()
  }
  selected.own.clear()
  return hasTold
}
