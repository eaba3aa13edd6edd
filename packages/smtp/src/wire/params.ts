/*
 * The parameters of MAIL and RCPT.
 *
 * RFC 5321 §4.1.2: esmtp-param = esmtp-keyword ["=" esmtp-value]
 *
 * esmtp-keyword = (ALPHA / DIGIT) *(ALPHA / DIGIT / "-"); esmtp-value = 1*(%d33-60 / %d62-126), and RFC 6531 §3.3 adds
 * UTF-8.
 */
import type { DsnCondition, DsnRequest, RecipientDsnRequest } from '@postern/core'
import { malformed, parsed, type Parsed } from '../errors.ts'
import { isOriginalRecipient, isPrintableXtext, isXtext } from './xtext.ts'

/** The parameters of MAIL. */
export interface MailParameters {
  /** RFC 1870 §3. */
  readonly declaredBytes: number | undefined
  /** RFC 6152 §2, and RFC 3030 §3. */
  readonly body: '7BIT' | '8BITMIME' | 'BINARYMIME'
  /** RFC 6531 §3.4. */
  readonly isSmtpUtf8: boolean
  /** RFC 3461 §4.3 and §4.4. */
  readonly dsn: DsnRequest | undefined
  /** RFC 8689 §2. */
  readonly requiresTls: boolean
  /** PRDR: draft-hall-prdr §4.2. */
  readonly takesVerdictForEach: boolean
}

/** Keywords of EHLO that give MAIL and RCPT parameters, and are not offered to everybody. */
export type ParameterExtension = 'AUTH' | '8BITMIME' | 'BINARYMIME' | 'SMTPUTF8' | 'DSN' | 'REQUIRETLS' | 'PRDR'

type Offers = (extension: ParameterExtension) => boolean

const none: MailParameters = Object.freeze({
  declaredBytes: undefined,
  body: '7BIT',
  isSmtpUtf8: false,
  dsn: undefined,
  requiresTls: false,
  takesVerdictForEach: false,
})

const parameter = /^([a-z\d][a-z\d-]*)(?:=([\x21-\x3c\x3e-\x7e\u0080-\u{10ffff}]+))?$/iu
/** RFC 1870 §3: size-value = 1*20DIGIT */
const sizeValue = /^\d{1,20}$/
/** RFC 3461 §5.4: octets of ENVID. */
const maxEnvelopeIdBytes = 100
/** RFC 3461 §5.4: octets of ORCPT. */
const maxOriginalRecipientBytes = 500

/**
 * @param text - what stands behind the path.
 * @param offers - whether an extension is offered; a parameter of any other is unknown. The value of AUTH= (RFC 4954 §5) is
 *   checked, and believed of nobody.
 */
export function parseMailParameters(text: string, offers: Offers): Parsed<MailParameters> {
  if (text === '') return parsed(none)
  const words = parseWords(text)
  if (!words.ok) return words
  const read: { -readonly [K in keyof MailParameters]: MailParameters[K] } = { ...none }
  const dsn: { -readonly [K in keyof DsnRequest]: DsnRequest[K] } = {}
  for (const [keyword, value] of words.value) {
    const extension = mailKeywords.get(keyword)
    if (extension === undefined) return malformed('SMTP_PARAMETER_UNKNOWN')
    if (extension === 'REQUIRETLS' && !offers('REQUIRETLS')) return malformed('SMTP_TLS_NOT_REQUIRABLE')
    if (extension !== 'SIZE' && !offers(extension)) return malformed('SMTP_PARAMETER_UNKNOWN')
    switch (keyword) {
      case 'SIZE':
        if (value === undefined || !sizeValue.test(value)) return malformed('SMTP_PARAMETER_VALUE')
        read.declaredBytes = Number(value)
        break
      case 'BODY': {
        const body = value?.toUpperCase()
        const isKnown = body === '7BIT' || body === '8BITMIME' || (body === 'BINARYMIME' && offers('BINARYMIME'))
        if (!isKnown) return malformed('SMTP_PARAMETER_VALUE')
        read.body = body
        break
      }
      case 'AUTH':
        if (value === undefined || !isXtext(value)) return malformed('SMTP_PARAMETER_VALUE')
        break
      case 'RET': {
        const returns = value?.toUpperCase()
        if (returns !== 'FULL' && returns !== 'HDRS') return malformed('SMTP_PARAMETER_VALUE')
        dsn.returns = returns
        break
      }
      case 'ENVID':
        if (value === undefined || value.length > maxEnvelopeIdBytes || !isPrintableXtext(value)) {
          return malformed('SMTP_PARAMETER_VALUE')
        }
        dsn.envelopeId = value
        break
      default:
        // What is left is said by its keyword alone.
        if (value !== undefined) return malformed('SMTP_PARAMETER_VALUE')
        if (keyword === 'SMTPUTF8') read.isSmtpUtf8 = true
        else if (keyword === 'REQUIRETLS') read.requiresTls = true
        else read.takesVerdictForEach = true
    }
  }
  if (dsn.returns !== undefined || dsn.envelopeId !== undefined) read.dsn = dsn
  return parsed(read)
}

/** Keyword to the extension that it belongs to. */
const mailKeywords: ReadonlyMap<string, 'SIZE' | ParameterExtension> = new Map([
  ['SIZE', 'SIZE'],
  ['BODY', '8BITMIME'],
  ['SMTPUTF8', 'SMTPUTF8'],
  ['AUTH', 'AUTH'],
  ['RET', 'DSN'],
  ['ENVID', 'DSN'],
  ['REQUIRETLS', 'REQUIRETLS'],
  ['PRDR', 'PRDR'],
])

/**
 * RFC 3461 §4.1 and §4.2: NOTIFY and ORCPT, the only parameters of RCPT.
 *
 * @param isSmtpUtf8 - MAIL had SMTPUTF8, so an original recipient may be UTF-8 (RFC 6533 §3).
 */
export function parseRecipientParameters(
  text: string,
  offers: Offers,
  isSmtpUtf8: boolean,
): Parsed<RecipientDsnRequest | undefined> {
  if (text === '') return parsed(undefined)
  const words = parseWords(text)
  if (!words.ok) return words
  const dsn: { -readonly [K in keyof RecipientDsnRequest]: RecipientDsnRequest[K] } = {}
  for (const [keyword, value = ''] of words.value) {
    if (!offers('DSN')) return malformed('SMTP_PARAMETER_UNKNOWN')
    if (keyword === 'NOTIFY') {
      const notify = parseNotify(value)
      if (notify === undefined) return malformed('SMTP_PARAMETER_VALUE')
      dsn.notify = notify
    } else if (keyword === 'ORCPT') {
      const isTooLong = Buffer.byteLength(value) > maxOriginalRecipientBytes
      if (isTooLong || !isOriginalRecipient(value, isSmtpUtf8)) return malformed('SMTP_PARAMETER_VALUE')
      dsn.originalRecipient = value
    } else {
      return malformed('SMTP_PARAMETER_UNKNOWN')
    }
  }
  return parsed(words.value.size === 0 ? undefined : dsn)
}

/** notify-esmtp-value = "NEVER" / 1#( "SUCCESS" / "FAILURE" / "DELAY" ) */
function parseNotify(value: string): readonly DsnCondition[] | undefined {
  const notify: DsnCondition[] = []
  for (const word of value.toUpperCase().split(',')) {
    const isKnown = word === 'NEVER' || word === 'SUCCESS' || word === 'FAILURE' || word === 'DELAY'
    if (!isKnown || notify.includes(word)) return undefined
    notify.push(word)
  }
  return notify.includes('NEVER') && notify.length > 1 ? undefined : notify
}

/** Keywords in capitals, each once. */
function parseWords(text: string): Parsed<ReadonlyMap<string, string | undefined>> {
  if (!text.startsWith(' ')) return malformed('SMTP_PATH')
  const words = new Map<string, string | undefined>()
  for (const word of text.split(' ')) {
    if (word === '') continue
    const match = parameter.exec(word)
    const keyword = match?.[1]?.toUpperCase()
    if (match === null || keyword === undefined || words.has(keyword)) return malformed('SMTP_PARAMETER_SYNTAX')
    words.set(keyword, match[2])
  }
  return parsed(words)
}
