/* SORT (RFC 5256 section 3, BASE.6.4.SORT), with the results of ESEARCH (RFC 5267 section 3) and DISPLAY (RFC 5957). */
import { parseAddressList } from '../../message/address.ts'
import { baseSubject } from '../../message/base-subject.ts'
import { casemap, sortable } from '../../message/casemap.ts'
import { decodeFieldText } from '../../message/encoded-words.ts'
import { fieldValue, headerFields } from '../../message/fields.ts'
import { parseSentDate } from '../../message/sent-date.ts'
import { sorted } from '../../message/work.ts'
import { ok } from '../../wire/response.ts'
import { parseSearchCriteria } from '../../wire/search-keys.ts'
import { parseResultOptions } from '../../wire/search-result.ts'
import type { Tokens } from '../../wire/tokens.ts'
import { badArguments } from '../arguments.ts'
import { findMessages, readHeader, searchFaults } from '../find-messages.ts'
import type { Outcome } from '../outcome.ts'
import type { SessionState } from '../state.ts'
import type { NumberedMessage } from '../view.ts'
import type { Naming } from './message-set.ts'
import { writeResult } from './search.ts'

export function sort(state: SessionState, args: Tokens): Promise<Outcome> {
  return sortMessages(state, args, 'number')
}

export function uidSort(state: SessionState, args: Tokens): Promise<Outcome> {
  return sortMessages(state, args, 'uid')
}

const sortKeys = ['ARRIVAL', 'CC', 'DATE', 'DISPLAYFROM', 'DISPLAYTO', 'FROM', 'SIZE', 'SUBJECT', 'TO'] as const

interface SortCriterion {
  readonly by: (typeof sortKeys)[number]
  readonly isReversed: boolean
}

async function sortMessages(state: SessionState, args: Tokens, naming: Naming): Promise<Outcome> {
  const options = parseResultOptions(args)
  if (options === 'malformed') return badArguments
  const criteria = args.space() ? parseCriteria(args) : undefined
  if (criteria === undefined) return badArguments
  const parsed = parseSearchCriteria(args)
  if (typeof parsed === 'string') {
    const refusal = searchFaults[parsed]
    if (options?.save === true && refusal.status === 'NO') state.mailbox.saved = new Set()
    return refusal
  }
  const found = await findMessages(state, parsed)
  writeResult(state, 'SORT', { ...found, messages: await inOrder(state, found.messages, criteria) }, naming, options)
  return ok('Sort completed')
}

/** `sort-criteria = "(" sort-criterion *(SP sort-criterion) ")"`, `sort-criterion = ["REVERSE" SP] sort-key` */
function parseCriteria(args: Tokens): readonly SortCriterion[] | undefined {
  const criteria = args.list((): SortCriterion | undefined => {
    const isReversed = args.word('REVERSE')
    if (isReversed && !args.space()) return undefined
    const by = sortKeys.find((key) => args.word(key))
    return by === undefined ? undefined : { by, isReversed }
  })
  return criteria?.length === 0 ? undefined : criteria
}

type SortValue = string | number

async function inOrder(
  state: SessionState,
  found: readonly NumberedMessage[],
  criteria: readonly SortCriterion[],
): Promise<readonly NumberedMessage[]> {
  // Asked for twice, compared once: the second cannot decide what the first did not.
  const used = criteria.filter(({ by }, at) => criteria.findIndex((other) => other.by === by) === at)
  const needsHeader = used.some(({ by }) => by !== 'ARRIVAL' && by !== 'SIZE')
  const rows: { readonly message: NumberedMessage; readonly values: readonly SortValue[] }[] = []
  for (const message of found) {
    await state.room()
    await state.tellProgress(rows.length, found.length)
    // A message that is gone sorts as one without a header.
    const header = needsHeader ? ((await readHeader(state, message)) ?? '') : ''
    rows.push({ message, values: used.map(({ by }) => valueOf(by, message, header, state.limits.maxSortKeyLength)) })
  }
  const work = sorted(rows, (one, other) => {
    for (let at = 0; at < used.length; at += 1) {
      const [a = 0, b = 0] = [one.values[at], other.values[at]]
      if (a !== b) return a < b === (used[at]?.isReversed === true) ? 1 : -1
    }
    // RFC 5256: what is equal stays in the order of the sequence numbers, REVERSE or not.
    return one.message.number - other.message.number
  })
  return (await state.inTurns(work)).map(({ message }) => message)
}

function valueOf(by: SortCriterion['by'], { record }: NumberedMessage, header: string, maxLength: number): SortValue {
  switch (by) {
    case 'ARRIVAL':
      return record.internalDate.getTime()
    case 'SIZE':
      return record.bytes
    case 'DATE':
      return sentMs(header, record.internalDate)
    case 'SUBJECT':
      return collated(baseSubject(firstField(header, 'subject')).text, maxLength)
    case 'CC':
    case 'FROM':
    case 'TO':
      // The mailbox of the first address, as ENVELOPE tells it; empty when there is none.
      return collated(firstAddress(header, by)?.mailbox ?? '', maxLength)
    case 'DISPLAYFROM':
    case 'DISPLAYTO': {
      const { name, mailbox = '', host = '' } = firstAddress(header, by.slice(7)) ?? {}
      // RFC 5957 section 3: the name to be shown, or the address when there is none.
      const text = name === undefined || name === '' ? `${mailbox}@${host}` : decodeFieldText(name)
      return collated(text === '@' ? '' : text, maxLength)
    }
  }
  return 0
}

/** RFC 5256 section 3: strings are compared by `i;unicode-casemap`. */
function collated(text: string, maxLength: number): string {
  return sortable(casemap(text.slice(0, maxLength)))
}

/** RFC 5256 section 2.2: the Date field as a point in time, or INTERNALDATE when it tells none. */
export function sentMs(header: string, internalDate: Date): number {
  return parseSentDate(firstField(header, 'date')) ?? internalDate.getTime()
}

/** The first field of that name, unfolded; empty when there is none. */
export function firstField(header: string, name: string): string {
  for (const field of headerFields(header)) if (field.name === name) return fieldValue(header, field)
  return ''
}

function firstAddress(header: string, name: string): ReturnType<typeof parseAddressList>[number] | undefined {
  return parseAddressList(firstField(header, name.toLowerCase()), 1)[0]
}
