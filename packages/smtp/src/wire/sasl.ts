import { isUtf8 } from 'node:buffer'
import { malformed, parsed, type Parsed } from '../errors.ts'

const base64 = /^(?:[A-Za-z\d+/]{4})*(?:[A-Za-z\d+/]{2}==|[A-Za-z\d+/]{3}=)?$/

/** RFC 4648 §4, strictly: Node reads around what is not base64. RFC 4954 §4: "=" is an empty initial response. */
export function decodeBase64(text: string): Parsed<Buffer> {
  if (text === '=') return parsed(Buffer.alloc(0))
  return base64.test(text) ? parsed(Buffer.from(text, 'base64')) : malformed('SMTP_BASE64')
}

export interface PlainMessage {
  readonly authorizationId: string
  readonly username: string
  readonly password: string
}

/** RFC 4616 §2: message = [authzid] UTF8NUL authcid UTF8NUL passwd, each of the latter two at least one character. */
export function parsePlain(bytes: Buffer): Parsed<PlainMessage> {
  if (!isUtf8(bytes)) return malformed('SMTP_SASL')
  const [authorizationId = '', username = '', password = '', ...more] = bytes.toString().split('\0')
  if (username === '' || password === '' || more.length > 0) return malformed('SMTP_SASL')
  return parsed({ authorizationId, username, password })
}

/** RFC 4422 appendix A.1: the authorization identity, which may be empty. */
export function parseExternal(bytes: Buffer): Parsed<string> {
  return bytes.includes(0) || !isUtf8(bytes) ? malformed('SMTP_SASL') : parsed(bytes.toString())
}

/** One answer of LOGIN: a user name or a password (draft-murchison-sasl-login). */
export function parseLoginAnswer(bytes: Buffer): Parsed<string> {
  if (bytes.length === 0 || bytes.includes(0) || !isUtf8(bytes)) return malformed('SMTP_SASL')
  return parsed(bytes.toString())
}
