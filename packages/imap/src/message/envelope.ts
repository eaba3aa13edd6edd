import { parseAddressList, type EnvelopeAddress } from './address.ts'
import { fieldValue, headerFields } from './fields.ts'

/** RFC 3501 section 7.4.2, the parsed header of a message; strings hold one octet in each character, undecoded. */
export interface Envelope {
  readonly date?: string
  readonly subject?: string
  readonly from: readonly EnvelopeAddress[]
  readonly sender: readonly EnvelopeAddress[]
  readonly replyTo: readonly EnvelopeAddress[]
  readonly to: readonly EnvelopeAddress[]
  readonly cc: readonly EnvelopeAddress[]
  readonly bcc: readonly EnvelopeAddress[]
  readonly inReplyTo?: string
  readonly messageId?: string
}

const addressFields: ReadonlySet<string> = new Set(['from', 'sender', 'reply-to', 'to', 'cc', 'bcc'])
const textFields: ReadonlySet<string> = new Set(['date', 'subject', 'in-reply-to', 'message-id'])

/** How many more addresses may be read. */
export interface AddressBudget {
  left: number
}

/** A field that stands twice: the first counts, except for addresses, where all count while the budget lasts. */
export function parseEnvelope(block: string, budget: AddressBudget): Envelope {
  const texts = new Map<string, string>()
  const lists = new Map<string, EnvelopeAddress[]>()
  for (const field of headerFields(block)) {
    if (textFields.has(field.name)) {
      if (!texts.has(field.name)) texts.set(field.name, fieldValue(block, field))
    } else if (addressFields.has(field.name) && budget.left > 0) {
      const list = lists.get(field.name)
      const addresses = parseAddressList(fieldValue(block, field), budget.left)
      budget.left -= addresses.length
      if (list === undefined) lists.set(field.name, addresses)
      else for (const address of addresses) list.push(address)
    }
  }
  const list = (name: string): readonly EnvelopeAddress[] => lists.get(name) ?? []
  const from = list('from')
  /** Absent or empty: the same as From (RFC 3501 section 7.4.2). */
  const orFrom = (name: string): readonly EnvelopeAddress[] => (list(name).length > 0 ? list(name) : from)
  const date = texts.get('date')
  const subject = texts.get('subject')
  const inReplyTo = texts.get('in-reply-to')
  const messageId = texts.get('message-id')
  return {
    ...(date === undefined ? {} : { date }),
    ...(subject === undefined ? {} : { subject }),
    from,
    sender: orFrom('sender'),
    replyTo: orFrom('reply-to'),
    to: list('to'),
    cc: list('cc'),
    bcc: list('bcc'),
    ...(inReplyTo === undefined ? {} : { inReplyTo }),
    ...(messageId === undefined ? {} : { messageId }),
  }
}
