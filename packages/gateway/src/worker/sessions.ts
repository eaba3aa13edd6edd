import type { OpenConnection } from '../observe/connection-log.ts'
import { limits } from '../limits.ts'
import type { SessionsAnswer, SessionsQuestion } from '../supervisor/messages.ts'

/** Looks through the open connections of this worker: some milliseconds for twenty thousand. */
export function answerSessions(question: SessionsQuestion, open: Iterable<OpenConnection>): SessionsAnswer {
  const newest: OpenConnection[] = []
  const byClient = new Map<string, number>()
  let matches = 0
  for (const connection of open) {
    const { client } = connection
    if (client !== undefined) byClient.set(client, (byClient.get(client) ?? 0) + 1)
    // Without the users before the search: how many match would tell who is signed in as well.
    const shown = question.withUsers ? connection : withoutUser(connection)
    if (!hasWords(shown, question.matching)) continue
    // The oldest come first, so the newest are the last of a ring.
    newest[matches % limits.maxSessionsShown] = shown
    matches++
  }
  const oldest = matches > limits.maxSessionsShown ? matches % limits.maxSessionsShown : 0
  return {
    type: 'sessions',
    ask: question.ask,
    matches,
    sessions: [...newest.slice(oldest), ...newest.slice(0, oldest)].toReversed(),
    topClients: [...byClient].toSorted((a, b) => b[1] - a[1]).slice(0, limits.maxTopClients),
  }
}

function withoutUser({ username: _username, ...connection }: OpenConnection): OpenConnection {
  return connection
}

function hasWords(connection: OpenConnection, matching: string): boolean {
  if (matching === '') return true
  const { id, listener, client = '', proxy = '', tls = '', username = '' } = connection
  return `${id} ${listener} ${client} ${proxy} ${tls} ${username}`.toLowerCase().includes(matching)
}
