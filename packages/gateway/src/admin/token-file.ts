import { readTextFile } from '../config/read-file.ts'
import { limits } from '../limits.ts'

export type TokenReading =
  | { readonly ok: true; readonly token: string }
  | { readonly ok: false; readonly reason: string }

/** Who can read the file can stop the gateway: so it must be nobody else's, and hard to guess. */
export async function readToken(file: string): Promise<TokenReading> {
  const reading = await readTextFile(file)
  if (!reading.ok) return reading
  if ((reading.mode & 0o077) !== 0) {
    const mode = (reading.mode & 0o777).toString(8).padStart(4, '0')
    return { ok: false, reason: `its mode is ${mode}, and must be 0600: others can read it` }
  }
  const token = reading.text.trim()
  if (!/^[!-~]+$/.test(token) || token.length < limits.minAdminTokenChars) {
    return { ok: false, reason: `it needs one word of ${limits.minAdminTokenChars} printable characters or more` }
  }
  return { ok: true, token }
}
