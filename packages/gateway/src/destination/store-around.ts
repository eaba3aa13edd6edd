import type { MaildirStore } from '@postern/maildir'

/** A store with its doors, for accounts and for deliveries, replaced; the rest is the store's own. */
export function storeAround(store: MaildirStore, doors: Pick<MaildirStore, 'openAccount' | 'deliver'>): MaildirStore {
  return {
    ...(store.can === undefined ? {} : { can: store.can }),
    exists: (account) => store.exists(account),
    createAccount: (account) => store.createAccount(account),
    notify: (account, mailbox) => store.notify(account, mailbox),
    close: () => store.close(),
    ...doors,
  }
}
