import type { Policy } from '@postern/core'
import type { LocalRecipient } from '../route/local-accounts.ts'
import { splitMailbox, type LocalMailbox } from '../route/local-mailbox.ts'

/**
 * Submission: who signed in may send as an address whose mail is theirs, and as nobody else (RFC 6409 section 6.1). The
 * null reverse-path is nobody's address, and what programs answer with (RFC 3834 section 3.3), so it passes.
 *
 * @param accountFor - as in the routing of recipients, so that whoever gets the mail of an address may send as it.
 */
export function ownSender(accountFor: (mailbox: LocalMailbox) => Promise<LocalRecipient | undefined>): Policy {
  return {
    name: 'own-sender',
    async onReversePath({ principal, envelope: { reversePath } }) {
      if (principal === undefined || reversePath === '') return { verdict: 'pass' }
      try {
        if ((await accountFor(splitMailbox(reversePath)))?.account === principal.account) return { verdict: 'pass' }
      } catch (error) {
        return { verdict: 'defer', reason: 'unavailable', detail: (error as Error).message }
      }
      const detail =
        `${principal.account} may not send as ${reversePath}: if it should, set smtp.submission-sender = "any", ` +
        'which lets every user send as anybody'
      return { verdict: 'refuse', reason: 'sender-mismatch', detail }
    },
  }
}
