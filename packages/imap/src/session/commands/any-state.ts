/* CAPABILITY, NOOP, CHECK, LOGOUT, ID, ENABLE: RFC 3501 sections 6.1 and 6.4.1, RFC 2971, RFC 5161. */
import type { Awaitable } from '@postern/core'
import { version } from '../../version.ts'
import { bad, encodeString, no, ok } from '../../wire/response.ts'
import type { Tokens } from '../../wire/tokens.ts'
import { readAnnouncement, type AnnouncedClient } from '../announced-client.ts'
import { badArguments, noArguments } from '../arguments.ts'
import type { Outcome } from '../outcome.ts'
import { refusalResponse } from '../refusal.ts'
import { enableable, type SessionState } from '../state.ts'

/** RFC 3501 section 6.1.1. */
export function capability(state: SessionState, args: Tokens): Outcome {
  const refusal = noArguments(args)
  if (refusal !== undefined) return refusal
  if (state.signedIn === undefined && !state.hasStartedTls) state.asksForCapabilities = true
  state.write(`* CAPABILITY ${state.capabilities()}\r\n`)
  return ok('Capability completed')
}

/** RFC 3501 section 6.1.2. News is told by the table's `looks`. */
export function noop(_state: SessionState, args: Tokens): Outcome {
  return noArguments(args) ?? ok('Noop completed')
}

/** RFC 3501 section 6.4.1: like NOOP, since nothing here waits to be written. */
export function check(_state: SessionState, args: Tokens): Outcome {
  return noArguments(args) ?? ok('Check completed')
}

/** RFC 3501 section 6.1.3. */
export function logout(state: SessionState, args: Tokens): Outcome {
  const refusal = noArguments(args)
  if (refusal !== undefined) return refusal
  state.write(`* BYE ${state.options.hostname} logging out\r\n`)
  return { ...ok('Logout completed'), after: { next: 'close', reason: 'quit' } }
}

/**
 * RFC 2971: `id = "ID" SP ("(" [string SP nstring *(SP string SP nstring)] ")" / nil)`. What the client says of itself
 * is checked and believed by nobody; a backend that is trusted with it may be told. A front end is believed of its client,
 * where it is listed for that. Some clients leave the quotes out, or put commas between: nothing hangs on it, and a client
 * that is refused at its first command does not come back.
 */
export function id(state: SessionState, args: Tokens): Awaitable<Outcome> {
  if (!args.space()) return badArguments
  const pairs = args.word('NIL') ? [] : args.list(() => idPair(args))
  if (pairs === undefined || pairs.length > state.limits.maxIdPairs || !args.isAtEnd) return badArguments
  const announcement = state.takesAnnouncement ? readAnnouncement(pairs) : ({ kind: 'none' } as const)
  // To go on would be to take the front end for its client, whatever that one is banned for.
  if (announcement.kind === 'bad') return bad('The client that is announced has no address, or no port')
  state.login?.identify(pairs)
  return announcement.kind === 'client' ? announced(state, announcement.client) : identified(state)
}

function identified(state: SessionState): Outcome {
  state.write(`* ID ("name" "Postern" "version" ${encodeString(version)})\r\n`)
  return ok('ID completed')
}

/** From here on the connection is that client's, if the policies let it in. */
async function announced(state: SessionState, client: AnnouncedClient): Promise<Outcome> {
  const { options } = state
  const admittance = await state.announce(client)
  if (!admittance.ok) {
    const { decision, by } = admittance
    state.refused('ID', decision.reason, decision.detail ?? `policy ${by}`)
    state.write(refusalResponse(decision, options.hostname))
    return { ...no('Access denied'), after: { next: 'close', reason: 'refused' } }
  }
  options.observer?.announced?.({ connection: state.connection, verb: 'ID', client: client.told })
  return identified(state)
}

function idPair(args: Tokens): readonly [key: string, value: string | null] | undefined {
  const { maxIdKeyBytes, maxIdValueBytes } = args.limits
  const key = args.string() ?? idAtom(args)
  args.take(',')
  const value = args.space() ? idValue(args) : undefined
  args.take(',')
  if (key === undefined || key.length > maxIdKeyBytes || value === undefined) return undefined
  return value === null || value.length <= maxIdValueBytes ? [key, value] : undefined
}

function idValue(args: Tokens): string | null | undefined {
  const value = args.nstring()
  if (value !== undefined) return value
  const atom = idAtom(args)
  return atom?.toUpperCase() === 'NIL' ? null : atom
}

/** An atom may end with a comma by the grammar: here it is the one that stands behind the atom. */
function idAtom(args: Tokens): string | undefined {
  const atom = args.atom()
  if (atom === undefined || atom === ',' || !atom.endsWith(',')) return atom
  args.at -= 1
  return atom.slice(0, -1)
}

/**
 * RFC 5161 section 3.1: extensions that this server does not have are left out of the answer; so are all before login,
 * where nothing can be enabled.
 */
export function enable(state: SessionState, args: Tokens): Outcome {
  const names: string[] = []
  while (args.space()) {
    const name = args.atom()?.toUpperCase()
    if (name === undefined || names.length >= state.limits.maxListElements) return badArguments
    names.push(name)
  }
  if (names.length === 0 || !args.isAtEnd) return badArguments
  const asked = state.signedIn === undefined ? [] : enableable.filter((name) => names.includes(name.toUpperCase()))
  // RFC 7162 section 3.2.3: QRESYNC brings CONDSTORE along. Neither can be without a store that can.
  const enabled = asked.filter((name) => state.can('modseq') || (name !== 'CONDSTORE' && name !== 'QRESYNC'))
  if (enabled.includes('CONDSTORE') || enabled.includes('QRESYNC')) state.enableModseq()
  for (const name of enabled) state.enabled.add(name)
  if (state.selected !== undefined) state.selected.showsRecent = !state.isRev2
  state.write(`* ${['ENABLED', ...enabled].join(' ')}\r\n`)
  return ok('Enable completed')
}
