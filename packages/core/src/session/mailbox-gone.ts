/** The mailbox of a handle was deleted, renamed or made anew by others: its numbers name nothing any more. */
export class MailboxGoneError extends Error {
  override readonly name = 'MailboxGoneError'
}
