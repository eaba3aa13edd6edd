import { deriveScramKeys, prepareScramPassword } from '@postern/core'
import { limits } from '../limits.ts'
import type { Account } from './accounts-file.ts'
import { hashPassword } from './password-hash.ts'

/**
 * What is kept of a new password.
 *
 * @param prepared - it has passed `preparePassword`.
 * @param hasScram - SCRAM needs a second form, in which a stolen file is searched faster than in the first.
 * @returns `undefined` when SCRAM would see too few characters of it: what is invisible does not count there.
 */
export async function makeAccount(prepared: string, hasScram: boolean): Promise<Account | undefined> {
  const forScram = prepareScramPassword(prepared) ?? ''
  if (hasScram && forScram.length < limits.minPasswordCharacters) return undefined
  const password = await hashPassword(prepared)
  return hasScram ? { password, scram: await deriveScramKeys(forScram) } : { password }
}
