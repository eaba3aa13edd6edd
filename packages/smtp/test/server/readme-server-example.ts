import { createWriteStream } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { createSmtpServer, type SmtpServer } from '../../src/index.ts'

/** An SMTP server that keeps each message as a file of `folder`. */
export function createDropBox(folder: string): SmtpServer {
  return createSmtpServer({
    hostname: 'mx.example',
    backend: {
      connection: ({ identity }) => console.log('from', identity.client.address.toString()),
      reversePath: ({ envelope }) =>
        envelope.reversePath.endsWith('@spam.example') ? { code: 550, lines: ['We know you'] } : undefined,
      recipient: (forwardPath) =>
        forwardPath.endsWith('@example.org') ? undefined : { code: 550, enhanced: '5.1.1', lines: ['No such mailbox'] },
      async data(message, { id }) {
        const file = join(folder, `${id}.eml`)
        try {
          await pipeline(message, createWriteStream(file, { flush: true }))
        } catch (error) {
          await rm(file, { force: true })
          throw error
        }
      },
    },
  })
}
