import { bad, ok } from '../../wire/response.ts'
import type { Tokens } from '../../wire/tokens.ts'
import { noArguments } from '../arguments.ts'
import { tellNews } from '../news.ts'
import { mailboxGone, type Outcome } from '../outcome.ts'
import type { SessionState } from '../state.ts'

/** RFC 2177: news is told as it comes, until the client says DONE. */
export async function idle(state: SessionState, args: Tokens): Promise<Outcome> {
  const refusal = noArguments(args)
  if (refusal !== undefined) return refusal
  const { selected } = state
  state.write('+ idling\r\n')
  state.isIdling = true
  if (selected !== undefined) {
    // Watched first: a change between a look and a watch would wait for the next one.
    state.watchSelected()
    if (!(await state.look())) {
      state.isIdling = false
      return mailboxGone
    }
    await tellNews(state, true)
    selected.rest()
  }
  return {
    onLine: (line) => {
      state.isIdling = false
      state.watchSelected()
      return line.toUpperCase() === 'DONE' ? ok('Idle completed') : bad('DONE was expected')
    },
  }
}
