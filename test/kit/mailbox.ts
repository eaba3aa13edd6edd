import { ImapFlow } from 'imapflow'
import { eventually } from './patience.ts'
import { ann, type Account } from './gateway.ts'

/** A signed-in imapflow client; STARTTLS is its own choice, as it is for its users. */
export async function openImap(port: number, account: Account = ann, host = '127.0.0.1'): Promise<ImapFlow> {
  const client = new ImapFlow({
    host,
    port,
    secure: false,
    auth: { user: account.name, pass: account.password },
    tls: { rejectUnauthorized: false },
    logger: false,
  })
  await client.connect()
  return client
}

/** Every message of INBOX as it is stored, oldest first. */
export async function readInbox(port: number, account: Account = ann): Promise<readonly string[]> {
  const client = await openImap(port, account)
  try {
    const { exists } = await client.mailboxOpen('INBOX', { readOnly: true })
    const messages: string[] = []
    if (exists === 0) return messages
    for await (const message of client.fetch('1:*', { source: true })) messages.push(message.source?.toString() ?? '')
    return messages
  } finally {
    await client.logout()
  }
}

/** The message whose Subject this is. */
export async function readMessage(port: number, subject: string, account: Account = ann): Promise<string> {
  return eventually(`a message with Subject: ${subject}`, async () =>
    (await readInbox(port, account)).find((message) => message.includes(`\nSubject: ${subject}\r\n`)),
  )
}
