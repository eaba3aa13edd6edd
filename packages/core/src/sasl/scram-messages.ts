/*
 * The messages of SCRAM (RFC 5802 section 7), read and written.
 *
 *   client-first-message = gs2-header client-first-message-bare
 *   gs2-header           = gs2-cbind-flag "," [ authzid ] ","
 *   gs2-cbind-flag       = ("p=" cb-name) / "n" / "y"
 *   authzid              = "a=" saslname
 *   client-first-message-bare = [reserved-mext ","] username "," nonce ["," extensions]
 *   server-first-message = [reserved-mext ","] nonce "," salt "," iteration-count ["," extensions]
 *   client-final-message-without-proof = channel-binding "," nonce ["," extensions]
 *   client-final-message = client-final-message-without-proof "," proof
 *   server-final-message = (server-error / verifier) ["," extensions]
 *
 * `reserved-mext` is for extensions that must be understood; there are none, so a message with one is refused, as the
 * RFC asks. Other extensions are skipped.
 */
import { limits } from '../limits.ts'
import { decodeBase64, decodeUtf8, encodeBase64, isOneLine } from './text.ts'

export interface ClientFirst {
  /** As it stands in the message; the client binds itself to it in its final message. */
  readonly gs2Header: string
  /** `p=` gives the type of the binding. */
  readonly binding: 'none' | 'server-seems-to-have-none' | { readonly type: string }
  readonly authorizationId: string
  readonly username: string
  readonly nonce: string
  /** Goes into what is signed. */
  readonly bare: string
}

const attributes = '(?:,[A-Za-z]=[^,]+)*'
const printable = '[\\x21-\\x2b\\x2d-\\x7e]+'
const clientFirst = new RegExp(
  `^((?:(n)|(y)|p=([A-Za-z0-9.-]+)),(?:a=([^,]*))?,)(n=([^,]*),r=(${printable})${attributes})$`,
)
const serverFirst = new RegExp(`^r=(${printable}),s=([A-Za-z0-9+/=]+),i=([1-9][0-9]{0,8})${attributes}$`)
const clientFinal = new RegExp(`^(c=([A-Za-z0-9+/=]+),r=(${printable})${attributes}),p=([A-Za-z0-9+/=]+)$`)
const serverFinal = new RegExp(`^(?:v=([A-Za-z0-9+/=]+)|e=([^,]+))${attributes}$`)

export function parseClientFirst(message: Buffer): ClientFirst | undefined {
  const match = clientFirst.exec(textOf(message))
  if (match === null) return undefined
  const [, gs2Header = '', none, doubtful, type = '', authzid = '', bare = '', name = '', nonce = ''] = match
  const username = decodeName(name)
  const authorizationId = decodeName(authzid)
  if (username === undefined || username === '' || authorizationId === undefined) return undefined
  const binding = none !== undefined ? 'none' : doubtful !== undefined ? 'server-seems-to-have-none' : { type }
  return { gs2Header, binding, authorizationId, username, nonce, bare }
}

export interface ClientFinal {
  /** The header of the first message, and the data of the channel binding behind it. */
  readonly channelBinding: Buffer
  readonly nonce: string
  readonly proof: Buffer
  /** Goes into what is signed. */
  readonly withoutProof: string
}

export function parseClientFinal(message: Buffer): ClientFinal | undefined {
  const [match, withoutProof = '', binding = '', nonce = '', signed = ''] = clientFinal.exec(textOf(message)) ?? []
  if (match === undefined) return undefined
  const channelBinding = decodeBase64(binding)
  const proof = decodeBase64(signed)
  return channelBinding === undefined || proof === undefined
    ? undefined
    : { channelBinding, nonce, proof, withoutProof }
}

export interface ServerFirst {
  readonly nonce: string
  readonly salt: Buffer
  readonly iterations: number
}

export function parseServerFirst(message: Buffer): ServerFirst | undefined {
  const [match, nonce = '', base64 = '', iterations] = serverFirst.exec(textOf(message)) ?? []
  const salt = match === undefined ? undefined : decodeBase64(base64)
  return salt === undefined ? undefined : { nonce, salt, iterations: Number(iterations) }
}

/** The server's signature, or the word by which it says what is wrong. */
export function parseServerFinal(
  message: Buffer,
): { readonly signature: Buffer } | { readonly error: string } | undefined {
  const [match, verifier = '', error] = serverFinal.exec(textOf(message)) ?? []
  if (match === undefined) return undefined
  if (error !== undefined) return { error }
  const signature = decodeBase64(verifier)
  return signature === undefined ? undefined : { signature }
}

export function encodeServerFirst({ nonce, salt, iterations }: ServerFirst): string {
  return `r=${nonce},s=${encodeBase64(salt)},i=${iterations}`
}

/** saslname: "," and "=" stand for themselves nowhere. */
export function encodeName(name: string): string {
  return name.replaceAll('=', '=3D').replaceAll(',', '=2C')
}

export function decodeName(text: string): string | undefined {
  if (/=(?!2C|3D)/.test(text) || !isOneLine(text)) return undefined
  return text.replaceAll('=2C', ',').replaceAll('=3D', '=')
}

/** Empty, which no message is, when it is too long or no UTF-8. */
function textOf(message: Buffer): string {
  return message.length > limits.maxScramMessageBytes ? '' : (decodeUtf8(message) ?? '')
}
