import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { createImapServer, showMail, type ImapServer, type ImapTlsOptions } from '../src/index.ts'

/** Shows the `.eml` files of a folder as a mailbox that nobody can change, numbered by when they were written. */
export function createReadingRoom(folder: string, tls: ImapTlsOptions): ImapServer {
  return createImapServer({
    hostname: 'archive.example',
    tls,
    authenticate: ({ username, password }) =>
      username === 'reader' && password.reveal() === 'open sesame' ? 'reader' : undefined,
    store: showMail({
      messages: (_account, mailbox) => {
        if (mailbox !== 'INBOX') return []
        const files = readdirSync(folder).filter((name) => name.endsWith('.eml'))
        return files.sort().map((name, index) => {
          const path = join(folder, name)
          const { size, mtime } = statSync(path)
          return { uid: index + 1, internalDate: mtime, bytes: size, content: () => readFileSync(path) }
        })
      },
    }),
  })
}
