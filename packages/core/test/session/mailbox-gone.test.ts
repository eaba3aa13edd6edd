import { expect, test } from 'vitest'
import { MailboxGoneError } from '../../src/session/mailbox-gone.ts'

test('it is told from other errors by its class, and by its name in a log', () => {
  const error = new MailboxGoneError('INBOX was deleted')
  expect(error).toBeInstanceOf(MailboxGoneError)
  expect(String(error)).toBe('MailboxGoneError: INBOX was deleted')
})
