/*
 * RFC 5321 §4.1.2, with the octets that RFC 6531 §3.3 adds:
 *
 *   Reverse-path   = Path / "<>"
 *   Forward-path   = Path                                   and "<Postmaster>" (§4.1.1.3)
 *   Path           = "<" [ A-d-l ":" ] Mailbox ">"
 *   A-d-l          = At-domain *( "," At-domain )           a source route: taken and ignored (§3.6.1, appendix C)
 *   Mailbox        = Local-part "@" ( Domain / address-literal )
 *   Local-part     = Dot-string / Quoted-string
 */
import { parseIpAddress } from '@postern/core'
import { malformed, parsed, type Parsed } from '../errors.ts'
import type { SmtpLimits } from '../limits.ts'

export interface Path {
  /** `local@domain` without brackets and source route, as the client wrote it but for needless quotes. Empty for `<>`. */
  readonly mailbox: string
  /** It has characters that only SMTPUTF8 allows. */
  readonly isAscii: boolean
  /** Index behind the closing bracket. */
  readonly end: number
}

export type PathLimits = Pick<SmtpLimits, 'maxPathBytes' | 'maxLocalPartBytes' | 'maxDomainBytes'>

const nonAscii = /[^\0-\x7f]/
const dotString = /^[\w!#$%&'*+\-/=?^`{|}~\u0080-\u{10ffff}]+(?:\.[\w!#$%&'*+\-/=?^`{|}~\u0080-\u{10ffff}]+)*$/u
/** QcontentSMTP = qtextSMTP / quoted-pairSMTP: printable ASCII and what RFC 6531 adds. */
const quotedString = /^"(?:[\x20\x21\x23-\x5b\x5d-\x7e\u0080-\u{10ffff}]|\\[\x20-\x7e])*"$/u
/** sub-domain = Let-dig [Ldh-str], or a U-label: letters of any script. */
const domainName = /^(?!-)[\p{L}\p{M}\p{N}-]+(?<!-)(?:\.(?!-)[\p{L}\p{M}\p{N}-]+(?<!-))*$/u
const sourceRoute = /^@[a-z\d.-]+(?:,@[a-z\d.-]+)*:/i
const generalLiteral = /^[a-z\d-]*[a-z\d]:[\x21-\x5a\x5e-\x7e]+$/i

/**
 * Where the path begins in the argument of MAIL or RCPT; -1 without its keyword. RFC 5321 §3.3 has no space behind the
 * colon; devices and scripts send one, and it says nothing else.
 */
export function indexOfPath(argument: string, keyword: 'FROM:' | 'TO:'): number {
  let at = keyword.length
  if (argument.slice(0, at).toUpperCase() !== keyword) return -1
  while (argument[at] === ' ') at++
  return at
}

/** Reads the argument of MAIL; the empty mailbox is the null reverse-path. */
export function parseReversePath(text: string, from: number, limits: PathLimits): Parsed<Path> {
  if (text.startsWith('<>', from)) return parsed({ mailbox: '', isAscii: true, end: from + 2 })
  return parsePath(text, from, limits)
}

/** Reads the argument of RCPT; `<Postmaster>` in any case is the mailbox `postmaster`. */
export function parseForwardPath(text: string, from: number, limits: PathLimits): Parsed<Path> {
  const postmaster = '<postmaster>'
  const end = from + postmaster.length
  if (text.slice(from, end).toLowerCase() === postmaster) return parsed({ mailbox: 'postmaster', isAscii: true, end })
  return parsePath(text, from, limits)
}

function parsePath(text: string, from: number, limits: PathLimits): Parsed<Path> {
  if (text[from] !== '<') return malformed('SMTP_PATH')
  const close = indexOfClosingBracket(text, from + 1)
  if (close === -1) return malformed('SMTP_PATH')
  const route = text[from + 1] === '@' ? sourceRoute.exec(text.slice(from + 1, close)) : undefined
  if (route === null) return malformed('SMTP_PATH')
  const mailbox = text.slice(from + 1 + (route?.[0].length ?? 0), close)

  // A domain has no "@", and an address literal may not have one here, so the last one ends the local part.
  const at = mailbox.lastIndexOf('@')
  if (at === -1) return malformed('SMTP_PATH')
  const local = mailbox.slice(0, at)
  const domain = mailbox.slice(at + 1)
  const isAscii = !nonAscii.test(mailbox)
  if (
    octets(local, isAscii) > limits.maxLocalPartBytes ||
    octets(domain, isAscii) > limits.maxDomainBytes ||
    octets(mailbox, isAscii) > limits.maxPathBytes
  ) {
    return malformed('SMTP_PATH_LENGTH')
  }
  const canonical = canonicalLocalPart(local)
  if (canonical === undefined) return malformed('SMTP_LOCAL_PART')
  if (!isDomain(domain) && !isAddressLiteral(domain)) return malformed('SMTP_DOMAIN')
  return parsed({ mailbox: canonical === local ? mailbox : `${canonical}@${domain}`, isAscii, end: close + 1 })
}

/** A ">" inside a quoted string is content. */
function indexOfClosingBracket(text: string, from: number): number {
  if (text[from] !== '"') return text.indexOf('>', from)
  let isQuoted = false
  for (let at = from; at < text.length; at++) {
    const char = text[at]
    if (char === '"') isQuoted = !isQuoted
    else if (char === '\\' && isQuoted) at++
    else if (char === '>' && !isQuoted) return at
  }
  return -1
}

function octets(text: string, isAscii: boolean): number {
  return isAscii ? text.length : Buffer.byteLength(text)
}

/**
 * RFC 5321 §4.1.2: a quoted string that needs no quotes is the same local part as the one without, so it leaves in one
 * spelling, and no rule written for `ann` is passed by with `"a\nn"`. Any other keeps its quotes, with as few
 * backslashes as will do.
 */
function canonicalLocalPart(local: string): string | undefined {
  if (!local.startsWith('"')) return dotString.test(local) ? local : undefined
  if (!quotedString.test(local)) return undefined
  const plain = local.slice(1, -1).replaceAll(/\\(.)/gu, '$1')
  return dotString.test(plain) ? plain : `"${plain.replaceAll(/["\\]/g, String.raw`\$&`)}"`
}

function isDomain(text: string): boolean {
  return domainName.test(text) && !/[^.]{64}/u.test(text)
}

/** RFC 5321 §4.1.3: `[192.0.2.1]`, `[IPv6:2001:db8::1]`, and the form kept for what may come. */
export function isAddressLiteral(text: string): boolean {
  if (!text.startsWith('[') || !text.endsWith(']')) return false
  const inside = text.slice(1, -1)
  if (/^ipv6:/i.test(inside)) return inside.includes(':', 5) && parseIpAddress(inside.slice(5)) !== undefined
  if (!inside.includes(':')) return parseIpAddress(inside) !== undefined
  return generalLiteral.test(inside)
}
