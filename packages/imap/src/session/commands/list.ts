/* LIST and LSUB: RFC 3501 sections 6.3.8 and 6.3.9, LIST-EXTENDED (RFC 5258), SPECIAL-USE (RFC 6154), LIST-STATUS (RFC 5819). */
import type { MailboxListing } from '@postern/core'
import { encodeMailboxName, hierarchyDelimiter } from '../../wire/mailbox-name.ts'
import { matchesAny } from '../../wire/mailbox-pattern.ts'
import { encodeMailbox, encodeString, ok } from '../../wire/response.ts'
import type { Tokens } from '../../wire/tokens.ts'
import { badArguments } from '../arguments.ts'
import type { Outcome } from '../outcome.ts'
import type { SessionState } from '../state.ts'
import { encodeStatus, parseStatusItems, type StatusItem } from './status.ts'

interface ListCommand {
  /** Any part of the extended syntax was used. */
  readonly isExtended: boolean
  readonly patterns: readonly string[]
  readonly selects: ReadonlySet<'SUBSCRIBED' | 'SPECIAL-USE' | 'REMOTE' | 'RECURSIVEMATCH'>
  readonly returns: ReadonlySet<'SUBSCRIBED' | 'CHILDREN' | 'SPECIAL-USE'>
  readonly status: readonly StatusItem[]
}

/** The attributes of RFC 6154 section 2. */
const specialUses: ReadonlySet<string> = new Set([
  '\\All',
  '\\Archive',
  '\\Drafts',
  '\\Flagged',
  '\\Junk',
  '\\Sent',
  '\\Trash',
])

export async function list(state: SessionState, args: Tokens): Promise<Outcome> {
  const command = parseList(state, args)
  if (command === undefined) return badArguments
  // RFC 3501 section 6.3.8: an empty name asks for the delimiter and the root of the reference.
  if (!command.isExtended && command.patterns[0] === '') {
    state.write(`* LIST (\\Noselect) "${hierarchyDelimiter}" ""\r\n`)
    return ok('List completed')
  }
  const known = await state.account.list()
  const listings = withParents(known, (listing) => !isMissing(listing))
  const isSelected = selection(command)
  /** Asked once of each: matching is what a pattern can make slow. */
  const matching = new Set<string>()
  for (const { name } of listings) {
    await state.room()
    if (matchesAny(command.patterns, encodeMailboxName(name, state.isUtf8))) matching.add(name)
  }
  // RFC 5258 section 4: CHILDINFO is for children that are not told of themselves.
  const untold = command.selects.has('RECURSIVEMATCH')
    ? listings.filter((listing) => isSelected(listing) && !matching.has(listing.name))
    : []
  const withUntoldChild = new Set(untold.flatMap(({ name }) => levelsAbove(name)))
  for (const listing of listings) {
    await state.room()
    if (!matching.has(listing.name)) continue
    const hasSelectedChild = withUntoldChild.has(listing.name)
    const isSelectedItself = isSelected(listing)
    if (!isSelectedItself && !hasSelectedChild) continue
    state.write(encodeListing(state, listing, command, hasSelectedChild))
    // RFC 5819 section 3: one that is told for the sake of its children has no status.
    if (isSelectedItself) await writeStatus(state, listing, command)
  }
  return ok('List completed')
}

/** RFC 3501 section 6.3.9: a level above a subscribed name is told with `\Noselect` when `%` stops there. */
export async function lsub(state: SessionState, args: Tokens): Promise<Outcome> {
  const command = parseList(state, args)
  if (command === undefined || command.isExtended) return badArguments
  const subscribed = (await state.account.list()).filter(({ isSubscribed }) => isSubscribed)
  const names = new Set(subscribed.map(({ name }) => name))
  const isHierarchical = command.patterns.some((pattern) => pattern.includes('%'))
  for (const listing of withParents(subscribed, () => true)) {
    await state.room()
    const isParent = !names.has(listing.name)
    if (isParent && !isHierarchical) continue
    if (!matchesAny(command.patterns, encodeMailboxName(listing.name, state.isUtf8))) continue
    const attributes = isParent || isMissing(listing) ? '\\Noselect' : ''
    state.write(`* LSUB (${attributes}) "${hierarchyDelimiter}" ${encodeMailbox(listing.name, state.isUtf8)}\r\n`)
  }
  return ok('Lsub completed')
}

/** `list = "LIST" [SP list-select-opts] SP mailbox SP mbox-or-pat [SP list-return-opts]` (RFC 5258 section 6) */
function parseList({ isUtf8 }: SessionState, args: Tokens): ListCommand | undefined {
  if (!args.space()) return undefined
  let isExtended = false
  let selects: ListCommand['selects'] = new Set()
  if (args.text[args.at] === '(') {
    isExtended = true
    const options = args.list(() => oneOf(args, ['SUBSCRIBED', 'SPECIAL-USE', 'REMOTE', 'RECURSIVEMATCH'] as const))
    if (options === undefined || !args.space()) return undefined
    selects = new Set(options)
    // RECURSIVEMATCH needs something to match (section 3.1).
    if (selects.has('RECURSIVEMATCH') && !selects.has('SUBSCRIBED') && !selects.has('SPECIAL-USE')) return undefined
  }
  const reference = args.astring()
  if (reference === undefined || !args.space()) return undefined
  let patterns: readonly string[] | undefined
  if (args.text[args.at] === '(') {
    isExtended = true
    patterns = args.list(() => args.listMailbox())
  } else {
    const pattern = args.listMailbox()
    patterns = pattern === undefined ? undefined : [pattern]
  }
  if (patterns === undefined || patterns.length === 0) return undefined
  const returns = args.isAtEnd ? undefined : parseReturn(args)
  if (!args.isAtEnd) return undefined
  const max = args.limits.maxMailboxNameBytes
  if (patterns.some((pattern) => reference.length + pattern.length > max)) return undefined
  const isRootAsked = patterns.length === 1 && patterns[0] === ''
  return {
    isExtended: isExtended || returns !== undefined,
    patterns: isRootAsked ? [''] : patterns.map((pattern) => foldInbox(composed(reference + pattern, isUtf8))),
    selects,
    returns: returns?.options ?? new Set(),
    status: returns?.status ?? [],
  }
}

function parseReturn(
  args: Tokens,
): { readonly options: ListCommand['returns']; readonly status: readonly StatusItem[] } | undefined {
  if (!args.space() || !args.word('RETURN') || !args.space()) return undefined
  let status: readonly StatusItem[] = []
  const options = args.list(() => {
    if (!args.word('STATUS')) return oneOf(args, ['SUBSCRIBED', 'CHILDREN', 'SPECIAL-USE'] as const)
    const items = args.space() ? parseStatusItems(args) : undefined
    if (items === undefined) return undefined
    status = items
    return 'STATUS' as const
  })
  if (options === undefined) return undefined
  return { options: new Set(options.filter((option) => option !== 'STATUS')), status }
}

function oneOf<T extends string>(args: Tokens, words: readonly T[]): T | undefined {
  return words.find((word) => args.word(word))
}

/** In UTF-8 one name has one spelling, which is the composed one. */
function composed(pattern: string, isUtf8: boolean): string {
  if (!isUtf8) return pattern
  return Buffer.from(Buffer.from(pattern, 'latin1').toString('utf8').normalize('NFC')).toString('latin1')
}

/** INBOX is found in any case (RFC 3501 section 5.1). */
function foldInbox(pattern: string): string {
  return /^inbox(?:\/|$)/i.test(pattern) ? `INBOX${pattern.slice(5)}` : pattern
}

/** The names of the levels above a name, the nearest first. */
function levelsAbove(name: string): readonly string[] {
  const levels: string[] = []
  let end = name.lastIndexOf(hierarchyDelimiter)
  for (; end > 0; end = name.lastIndexOf(hierarchyDelimiter, end - 1)) levels.push(name.slice(0, end))
  return levels
}

/** Levels that exist only as part of longer names are told too, as what cannot be selected. */
function withParents(
  listings: readonly MailboxListing[],
  hasParents: (listing: MailboxListing) => boolean,
): readonly MailboxListing[] {
  const known = new Set(listings.map(({ name }) => name))
  const all = [...listings]
  for (const { name } of listings.filter(hasParents)) {
    let end = name.lastIndexOf(hierarchyDelimiter)
    for (; end > 0; end = name.lastIndexOf(hierarchyDelimiter, end - 1)) {
      const parent = name.slice(0, end)
      if (known.has(parent)) break
      known.add(parent)
      all.push({ name: parent, attributes: ['\\NonExistent', '\\HasChildren'], isSubscribed: false })
    }
  }
  return all
}

function selection({ selects }: ListCommand): (listing: MailboxListing) => boolean {
  return (listing) => {
    // A name that is subscribed and is no mailbox shows only when subscriptions are asked for.
    if (isMissing(listing) && !listing.attributes.includes('\\HasChildren') && !selects.has('SUBSCRIBED')) return false
    if (selects.has('SUBSCRIBED') && !listing.isSubscribed) return false
    return !selects.has('SPECIAL-USE') || listing.attributes.some((name) => specialUses.has(name))
  }
}

function isMissing({ attributes }: MailboxListing): boolean {
  return attributes.includes('\\NonExistent')
}

function encodeListing(
  { isRev2, isUtf8 }: SessionState,
  listing: MailboxListing,
  command: ListCommand,
  hasSelectedChild: boolean,
): string {
  const attributes: string[] = []
  for (const attribute of listing.attributes) {
    // Clients of the plain command of IMAP4rev1 know only `\Noselect`.
    attributes.push(attribute === '\\NonExistent' && !command.isExtended && !isRev2 ? '\\Noselect' : attribute)
  }
  const tellsSubscribed = command.returns.has('SUBSCRIBED') || command.selects.has('SUBSCRIBED')
  if (tellsSubscribed && listing.isSubscribed) attributes.push('\\Subscribed')
  const selects = (['SUBSCRIBED', 'SPECIAL-USE'] as const).filter((option) => command.selects.has(option))
  // mbox-list-extended: "CHILDINFO" names what selected the children (RFC 5258 section 6).
  const childInfo = hasSelectedChild ? ` ("CHILDINFO" (${selects.map(encodeString).join(' ')}))` : ''
  return `* LIST (${attributes.join(' ')}) "${hierarchyDelimiter}" ${encodeMailbox(listing.name, isUtf8)}${childInfo}\r\n`
}

/** One name as it is told without being asked for (RFC 5465 sections 5.4 and 5.5, RFC 9051 section 6.3.2). */
export function encodeListingOf({ isUtf8 }: SessionState, listing: MailboxListing, oldName?: string): string {
  const attributes = [...listing.attributes, ...(listing.isSubscribed ? ['\\Subscribed'] : [])]
  return encodeName(isUtf8, attributes, listing.name, oldName)
}

/**
 * What a command took a name for that was sent in another spelling, as in `inbox`, or not composed (RFC 9051 section
 * 6.3.9.7): nothing when it was not.
 */
export function encodeRespelled(name: string, spelled: string | undefined, attributes: readonly string[] = []): string {
  return spelled === undefined ? '' : encodeName(true, attributes, name, spelled)
}

/** `oldName`: the former name, or the spelling that was sent. */
function encodeName(isUtf8: boolean, attributes: readonly string[], name: string, oldName?: string): string {
  const from = oldName === undefined ? '' : ` ("OLDNAME" (${encodeMailbox(oldName, isUtf8)}))`
  return `* LIST (${attributes.join(' ')}) "${hierarchyDelimiter}" ${encodeMailbox(name, isUtf8)}${from}\r\n`
}

/** RFC 5819: what cannot be selected has no status. */
async function writeStatus(state: SessionState, listing: MailboxListing, command: ListCommand): Promise<void> {
  if (command.status.length === 0 || isMissing(listing) || listing.attributes.includes('\\Noselect')) return
  if (command.status.includes('HIGHESTMODSEQ')) state.enableModseq()
  const found = await state.account.status(listing.name)
  if (found.ok) state.write(encodeStatus(state, listing.name, command.status, found.value))
}
