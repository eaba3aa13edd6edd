import { limits } from '../limits.ts'
import type { MailboxesChanged } from '../supervisor/messages.ts'

/**
 * Tells the other workers which mailboxes changed here, so that a client that waits in IDLE there hears of it. Changes
 * are gathered for a moment: a mailbox that gets a hundred messages is told once.
 */
export class MailboxHints {
  readonly #send: (message: MailboxesChanged) => void
  readonly #changed = new Map<string, readonly [account: string, mailbox: string]>()
  #isWaiting = false

  constructor(send: (message: MailboxesChanged) => void) {
    this.#send = send
  }

  changed(account: string, mailbox: string): void {
    this.#changed.set(JSON.stringify([account, mailbox]), [account, mailbox])
    if (this.#isWaiting) return
    this.#isWaiting = true
    setTimeout(() => this.#tell(), limits.mailboxHintMs)
  }

  #tell(): void {
    this.#isWaiting = false
    const mailboxes = [...this.#changed.values()]
    this.#changed.clear()
    this.#send({ type: 'mailboxes-changed', mailboxes })
  }
}
