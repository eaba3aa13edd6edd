/* Keys of SCRAM as text (RFC 5803 section 3, with the name of the mechanism in front as others write it). */
import { limits, type ScramKeys } from '@postern/core'

/** For the words of a problem. */
export const scramKeysWords = 'keys as `postern user` writes them, beginning with "SCRAM-SHA-256$"'

const base64 = '([A-Za-z0-9+/]+={0,2})'
const pattern = new RegExp(`^SCRAM-SHA-256\\$([1-9][0-9]{0,8}):${base64}\\$${base64}:${base64}$`)
/** Of a hash, and with it of every key. */
const keyBytes = 32

export function formatScramKeys({ iterations, salt, storedKey, serverKey }: ScramKeys): string {
  const [saltText, storedText, serverText] = [salt, storedKey, serverKey].map((bytes) => bytes.toString('base64'))
  return `SCRAM-SHA-256$${iterations}:${saltText}$${storedText}:${serverText}`
}

/** `undefined` when it is none, or asks clients for fewer or more iterations than is good. */
export function parseScramKeys(text: string): ScramKeys | undefined {
  const [match, count, salt = '', storedKey = '', serverKey = ''] = pattern.exec(text) ?? []
  if (match === undefined) return undefined
  const keys: ScramKeys = {
    iterations: Number(count),
    salt: Buffer.from(salt, 'base64'),
    storedKey: Buffer.from(storedKey, 'base64'),
    serverKey: Buffer.from(serverKey, 'base64'),
  }
  const isBounded =
    keys.iterations >= limits.minScramIterations &&
    keys.iterations <= limits.maxScramIterations &&
    keys.salt.length >= 8 &&
    keys.salt.length <= 64 &&
    keys.storedKey.length === keyBytes &&
    keys.serverKey.length === keyBytes
  // Compared with what was written, since Buffer.from drops what it does not understand.
  return isBounded && formatScramKeys(keys) === text ? keys : undefined
}
