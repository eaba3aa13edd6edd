import type { EnvelopeAddress } from '../message/address.ts'
import type { Envelope } from '../message/envelope.ts'
import type { Parameterized } from '../message/parameters.ts'
import type { Part } from '../message/structure.ts'
import { encodeNstring, encodeString } from './response.ts'

/** `envelope = "(" env-date SP env-subject SP env-from SP … SP env-message-id ")"` (RFC 3501 section 9). */
export function encodeEnvelope(envelope: Envelope): string {
  const { date, subject, from, sender, replyTo, to, cc, bcc, inReplyTo, messageId } = envelope
  const lists = [from, sender, replyTo, to, cc, bcc].map(encodeAddresses).join(' ')
  return `(${encodeNstring(date)} ${encodeNstring(subject)} ${lists} ${encodeNstring(inReplyTo)} ${encodeNstring(messageId)})`
}

function encodeAddresses(addresses: readonly EnvelopeAddress[]): string {
  if (addresses.length === 0) return 'NIL'
  return `(${addresses
    .map(
      ({ name, route, mailbox, host }) =>
        `(${encodeNstring(name)} ${encodeNstring(route)} ${encodeNstring(mailbox)} ${encodeNstring(host)})`,
    )
    .join('')})`
}

/**
 * `body` of RFC 3501 section 9. Depth is bounded by the scanner that made the tree.
 *
 * @param isExtended - BODYSTRUCTURE; otherwise BODY, which has no extension data.
 */
export function encodeBody(part: Part, isExtended: boolean): string {
  const { fields } = part
  if (part.children.length > 0) {
    const children = part.children.map((child) => encodeBody(child, isExtended)).join('')
    // body-ext-mpart = body-fld-param [SP body-fld-dsp [SP body-fld-lang [SP body-fld-loc]]]
    const extension = isExtended ? ` ${encodeParameters(fields.parameters)} ${encodeExtension(part)}` : ''
    return `(${children} ${encodeString(fields.subtype)}${extension})`
  }
  const isText = fields.type.toLowerCase() === 'text'
  // body-fields = body-fld-param SP body-fld-id SP body-fld-desc SP body-fld-enc SP body-fld-octets
  const basic = [
    encodeString(fields.type),
    encodeString(fields.subtype),
    encodeParameters(isText ? withCharset(fields.parameters) : fields.parameters),
    encodeNstring(fields.id),
    encodeNstring(fields.description),
    encodeString(fields.encoding),
    String(part.bodyEnd - part.bodyStart),
  ].join(' ')
  const { message } = part
  const nested = message === undefined ? '' : ` ${encodeEnvelope(message.envelope)} ${encodeBody(message, isExtended)}`
  const lines = isText || message !== undefined ? ` ${part.lines}` : ''
  // body-ext-1part = body-fld-md5 [SP body-fld-dsp [SP body-fld-lang [SP body-fld-loc]]]
  const extension = isExtended ? ` ${encodeNstring(fields.md5)} ${encodeExtension(part)}` : ''
  return `(${basic}${nested}${lines}${extension})`
}

/** `body-fld-dsp SP body-fld-lang SP body-fld-loc` */
function encodeExtension({ fields }: Part): string {
  const { disposition, language, location } = fields
  const dsp =
    disposition === undefined
      ? 'NIL'
      : `(${encodeString(disposition.value)} ${encodeParameters(disposition.parameters)})`
  const lang = language === undefined ? 'NIL' : `(${language.map(encodeString).join(' ')})`
  return `${dsp} ${lang} ${encodeNstring(location)}`
}

/** RFC 2046 section 4.1.2: a text that names no charset is in US-ASCII, and clients are told so. */
function withCharset(parameters: Parameterized['parameters']): Parameterized['parameters'] {
  const names = /^charset(?:\*|$)/i
  return parameters.some(([name]) => names.test(name)) ? parameters : [...parameters, ['charset', 'us-ascii']]
}

function encodeParameters(parameters: Parameterized['parameters']): string {
  if (parameters.length === 0) return 'NIL'
  return `(${parameters.map(([name, value]) => `${encodeString(name)} ${encodeString(value)}`).join(' ')})`
}
