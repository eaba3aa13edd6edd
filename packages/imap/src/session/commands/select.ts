import type { MailboxListing } from '@postern/core'
import { encodeFlags } from '../../wire/flags.ts'
import { encodeVanished, parseSelectParameters, type KnownMailbox } from '../../wire/modseq.ts'
import { bad, no, ok } from '../../wire/response.ts'
import { NumberRanges } from '../../wire/sequence-set.ts'
import type { Tokens } from '../../wire/tokens.ts'
import { badArguments, mailboxArgument, noArguments } from '../arguments.ts'
import { refusedByStore, type Outcome } from '../outcome.ts'
import { SelectedMailbox } from '../selected.ts'
import type { SessionState } from '../state.ts'
import { vanishedSince } from '../vanished.ts'
import { encodeListingOf } from './list.ts'

/** RFC 3501 section 6.3.1. */
export function select(state: SessionState, args: Tokens): Promise<Outcome> {
  return open(state, args, 'read-write')
}

/** RFC 3501 section 6.3.2. */
export function examine(state: SessionState, args: Tokens): Promise<Outcome> {
  return open(state, args, 'read-only')
}

async function open(state: SessionState, args: Tokens, mode: 'read-only' | 'read-write'): Promise<Outcome> {
  const argument = mailboxArgument(state, args)
  const parameters = parseSelectParameters(args)
  if (parameters === undefined || !args.isAtEnd) return badArguments
  const { condstore, qresync } = parameters
  if ((condstore || qresync !== undefined) && !state.can('modseq')) return badArguments
  if (qresync !== undefined && !state.enabled.has('QRESYNC')) return bad('QRESYNC is not enabled')
  // RFC 9051 section 7.1, RFC 7162 section 3.2.11: from here on responses are of the new mailbox.
  const tellsClosed = state.isRev2 || state.enabled.has('CONDSTORE')
  if (state.selected !== undefined && tellsClosed) state.write('* OK [CLOSED] Mailbox closed\r\n')
  // Whatever comes of it, the mailbox that was selected is left (section 6.3.1).
  await state.unselect()
  if (condstore) state.enableModseq()
  if ('refusal' in argument) return argument.refusal
  // RFC 9051 section 6.3.2: with the attributes that LIST tells.
  const listing = state.isRev2 ? await listingOf(state, argument.name) : undefined
  const opened = await state.account.open(argument.name, mode)
  if (!opened.ok) return refusedByStore(opened.refusal)
  const mailbox = opened.value
  if (state.isOver) {
    await mailbox.close()
    return ok('Mailbox opened')
  }
  const selected = new SelectedMailbox(mailbox, state.limits.maxKeywords, state.enabled)
  selected.showsRecent = !state.isRev2
  state.selected = selected
  state.watchSelected()
  const unseen = mailbox.records().findIndex(({ flags }) => !flags.includes('\\Seen'))
  state.write(
    selected.flagsResponse() +
      `* ${selected.view.exists} EXISTS\r\n` +
      (state.isRev2 ? '' : `* ${mailbox.recent().size} RECENT\r\n`) +
      (unseen === -1 || state.isRev2 ? '' : `* OK [UNSEEN ${unseen + 1}] First unseen message\r\n`) +
      `* OK [UIDVALIDITY ${mailbox.uidValidity}] UIDs valid\r\n` +
      `* OK [UIDNEXT ${mailbox.uidNext()}] Predicted next UID\r\n` +
      selected.permanentFlagsResponse() +
      selected.highestModseqResponse() +
      // RFC 8474 section 4.2
      (mailbox.mailboxId === undefined ? '' : `* OK [MAILBOXID (${mailbox.mailboxId})] Id of the mailbox\r\n`) +
      (listing === undefined ? '' : encodeListingOf(state, listing, argument.spelled)),
  )
  if (qresync?.uidValidity === mailbox.uidValidity) await resynchronize(state, selected, qresync)
  return selected.isReadOnly ? ok('Mailbox opened', 'READ-ONLY') : ok('Mailbox opened', 'READ-WRITE')
}

async function listingOf({ account }: SessionState, name: string): Promise<MailboxListing> {
  const listings = await account.list()
  return listings.find((listing) => listing.name === name) ?? { name, attributes: [], isSubscribed: false }
}

/** RFC 7162 section 3.2.5: what a client that was away has missed, expunged messages first. */
async function resynchronize(state: SessionState, selected: SelectedMailbox, known: KnownMailbox): Promise<void> {
  const { mailbox, view } = selected
  // A number that was never given: of a mailbox that was restored to an earlier state. Nothing is sure then.
  const since = known.modseq > (mailbox.highestModseq?.() ?? 0n) ? 0n : known.modseq
  const uids = new NumberRanges(known.uids ?? [{ first: 1, last: Infinity }], mailbox.uidNext() - 1)
  state.write(encodeVanished(await vanishedSince(selected, since, uids, known.pairs), true))
  let number = 0
  for (const { uid, flags, modseq = 0n } of view.records) {
    number += 1
    if (modseq > since && uids.has(uid)) {
      const told = encodeFlags(flags, selected.recent().has(uid))
      state.write(`* ${number} FETCH (UID ${uid} FLAGS ${told} MODSEQ (${modseq}))\r\n`)
    }
    await state.room()
  }
}

/** RFC 3501 section 6.4.2: removes messages with `\Deleted` without a word, then leaves. */
export async function close(state: SessionState, args: Tokens): Promise<Outcome> {
  const refusal = noArguments(args)
  if (refusal !== undefined) return refusal
  const { mailbox, isReadOnly } = state.mailbox
  if (!isReadOnly) {
    const removed = await mailbox.expunge()
    if (!removed.ok) {
      await state.unselect()
      return no('Mailbox is closed, deleted messages are still there', 'UNAVAILABLE')
    }
  }
  await state.unselect()
  return ok('Mailbox closed')
}

/** RFC 3691: leaves, and removes nothing. */
export async function unselect(state: SessionState, args: Tokens): Promise<Outcome> {
  const refusal = noArguments(args)
  if (refusal !== undefined) return refusal
  await state.unselect()
  return ok('Mailbox closed')
}
