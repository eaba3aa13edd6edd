import { malformed, parsed, type Parsed } from '../errors.ts'

/** The parameters of MAIL. */
export interface MailParameters {
  /** RFC 1870 §3. */
  readonly declaredBytes: number | undefined
  /** RFC 6152 §2, and RFC 3030 §3. */
  readonly body: '7BIT' | '8BITMIME' | 'BINARYMIME'
  /** RFC 6531 §3.4. */
  readonly isSmtpUtf8: boolean
}

/** Extensions that are not offered to everybody, and give MAIL a parameter or a value. */
export interface OfferedToMail {
  readonly auth: boolean
  readonly binaryMime: boolean
}

const none: MailParameters = Object.freeze({ declaredBytes: undefined, body: '7BIT', isSmtpUtf8: false })

/**
 * RFC 5321 §4.1.2: esmtp-param = esmtp-keyword ["=" esmtp-value]
 *
 * esmtp-keyword = (ALPHA / DIGIT) *(ALPHA / DIGIT / "-"); esmtp-value = 1*(%d33-60 / %d62-126), and RFC 6531 §3.3 adds
 * UTF-8.
 */
const parameter = /^([a-z\d][a-z\d-]*)(?:=([\x21-\x3c\x3e-\x7e\u0080-\u{10ffff}]+))?$/iu
/** RFC 1870 §3: size-value = 1*20DIGIT */
const sizeValue = /^\d{1,20}$/
/** RFC 3461 §4: xtext = *( xchar / hexchar ) */
const xtext = /^(?:[\x21-\x2a\x2c-\x3c\x3e-\x7e]|\+[\dA-F]{2})*$/

/**
 * @param text - what stands behind the path.
 * @param offered - `auth`: AUTH= may be given (RFC 4954 §5); its value is checked, and believed of nobody.
 */
export function parseMailParameters(text: string, offered: OfferedToMail): Parsed<MailParameters> {
  if (text === '') return parsed(none)
  if (!text.startsWith(' ')) return malformed('SMTP_PATH')
  let declaredBytes: number | undefined
  let body: MailParameters['body'] | undefined
  let isSmtpUtf8 = false
  let hasAuth = false
  for (const word of text.split(' ')) {
    if (word === '') continue
    const match = parameter.exec(word)
    if (match === null) return malformed('SMTP_PARAMETER_SYNTAX')
    const value = match[2]
    switch (match[1]!.toUpperCase()) {
      case 'SIZE':
        if (declaredBytes !== undefined) return malformed('SMTP_PARAMETER_SYNTAX')
        if (value === undefined || !sizeValue.test(value)) return malformed('SMTP_PARAMETER_VALUE')
        declaredBytes = Number(value)
        break
      case 'BODY': {
        if (body !== undefined) return malformed('SMTP_PARAMETER_SYNTAX')
        const kind = value?.toUpperCase()
        const isKnown = kind === '7BIT' || kind === '8BITMIME' || (kind === 'BINARYMIME' && offered.binaryMime)
        if (!isKnown) return malformed('SMTP_PARAMETER_VALUE')
        body = kind
        break
      }
      case 'SMTPUTF8':
        if (isSmtpUtf8) return malformed('SMTP_PARAMETER_SYNTAX')
        if (value !== undefined) return malformed('SMTP_PARAMETER_VALUE')
        isSmtpUtf8 = true
        break
      case 'AUTH':
        if (!offered.auth) return malformed('SMTP_PARAMETER_UNKNOWN')
        if (hasAuth) return malformed('SMTP_PARAMETER_SYNTAX')
        if (value === undefined || !xtext.test(value)) return malformed('SMTP_PARAMETER_VALUE')
        hasAuth = true
        break
      default:
        return malformed('SMTP_PARAMETER_UNKNOWN')
    }
  }
  return parsed({ declaredBytes, body: body ?? '7BIT', isSmtpUtf8 })
}

/** No extension that is offered gives RCPT a parameter, so every one is unknown (RFC 5321 §4.1.1.11). */
export function parseRecipientParameters(text: string): Parsed<undefined> {
  if (text === '') return parsed(undefined)
  if (!text.startsWith(' ')) return malformed('SMTP_PATH')
  const isSound = text.split(' ').every((word) => word === '' || parameter.test(word))
  return malformed(isSound ? 'SMTP_PARAMETER_UNKNOWN' : 'SMTP_PARAMETER_SYNTAX')
}
