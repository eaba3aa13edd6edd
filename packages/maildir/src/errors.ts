import type { StoreOutcome, StoreRefusal } from '@postern/core'

/** Every code of this package, and what an operator does about it. */
export const storeErrorCodes = {
  MAILDIR_BAD_ACCOUNT: 'The account name cannot be a folder name: empty, not well-formed Unicode, or too long.',
  MAILDIR_NO_ACCOUNT: 'There is no folder for this account; create the account first.',
  MAILDIR_ROOT: 'The root directory is missing, is no directory, or may not be written.',
  MAILDIR_IO: 'The disk refused an operation; the cause names the call and the path.',
  MAILDIR_QUOTA_UNKNOWN:
    'What an account may hold could not be asked; the cause tells why. Nothing is taken in meanwhile.',
  MAILDIR_SYMLINK: 'A symbolic link stands where a folder or a message belongs; it is never followed.',
  MAILDIR_MAILBOX_GONE: 'The mailbox was deleted while it was in use, or is nowhere to be found.',
  MAILDIR_UID_VALIDITY_CHANGED: 'The UID list was lost or damaged; a session must select the mailbox again.',
  MAILDIR_SPENT: 'A handle was used after it was closed.',
  MAILDIR_LOCK_BUSY: 'A lock was held for too long by a process that is alive, or on a machine that cannot be asked.',
  MAILDIR_UID_VALIDITY_SPENT: 'Every UIDVALIDITY of this account was used; its mail must be moved to a new account.',
} as const

/** A code of the catalogue; codes are stable. */
export type StoreErrorCode = keyof typeof storeErrorCodes

/** The disk failed, or the store was used wrongly. What a client can cause is a `StoreRefusal` instead. */
export class StoreError extends Error {
  override readonly name = 'StoreError'
  readonly code: StoreErrorCode
  readonly temporary: boolean
  readonly account: string | undefined
  readonly mailbox: string | undefined
  /** For the operator: may hold paths. Never sent to a client. */
  readonly detail: string

  constructor(
    code: StoreErrorCode,
    detail: string,
    about: { readonly account?: string; readonly mailbox?: string; readonly cause?: unknown } = {},
  ) {
    super(`${code}: ${detail}`, about.cause === undefined ? {} : { cause: about.cause })
    this.code = code
    this.detail = detail
    this.account = about.account
    this.mailbox = about.mailbox
    this.temporary = code === 'MAILDIR_IO' || code === 'MAILDIR_LOCK_BUSY' || code === 'MAILDIR_QUOTA_UNKNOWN'
  }
}

export const accepted = <T>(value: T): StoreOutcome<T> => ({ ok: true, value })

export const refused = (
  refusal: StoreRefusal,
  detail: string,
): { readonly ok: false; readonly refusal: StoreRefusal; readonly detail: string } => ({ ok: false, refusal, detail })

export const isErrno = (error: unknown, ...codes: readonly string[]): boolean =>
  error instanceof Error && 'code' in error && codes.includes(error.code as string)

/** For what can wait until there is room again, or the disk may be written: any other error is thrown. */
export function waitForRoom(error: unknown): void {
  if (!isErrno(error, 'ENOSPC', 'EDQUOT', 'EROFS')) throw error
}

/**
 * What went wrong as a value for the session, when it is the disk or the lock that went wrong. A bug stays an exception.
 *
 * ENOSPC is a full disk, EDQUOT a full quota; everything else that a kernel answers (EACCES, EROFS, EIO, EMFILE, ELOOP
 * of a symbolic link, ...) is mended by the operator, so it is temporary and never a reason to bounce mail.
 */
export function refusalOf(error: unknown): {
  readonly ok: false
  readonly refusal: StoreRefusal
  readonly detail: string
} {
  if (error instanceof StoreError) {
    return refused(error.code === 'MAILDIR_MAILBOX_GONE' ? 'no-such-mailbox' : 'unavailable', error.message)
  }
  if (!(error instanceof Error) || !('syscall' in error) || !('code' in error)) throw error
  const detail = error.message
  switch (error.code) {
    case 'ENOSPC':
      return refused('no-space', detail)
    case 'EDQUOT':
      return refused('over-quota', detail)
    case 'ENAMETOOLONG':
      return refused('limit', detail)
    default:
      return refused('unavailable', detail)
  }
}
