/*
 * The server behind a cable, as a process of its own in a network namespace: SMTP at 192.0.2.2:25, which tells the serial of
 * each whole message in a line, and as much IMAP at port 143 as a login and a NOOP need.
 */
import { createServer } from 'node:net'
import { createSmtpServer } from '../../packages/smtp/src/index.ts'
import { wholeMessages } from '../kit/persistent-senders.ts'

const host = '192.0.2.2'

class Told extends Map<number, number> {
  override set(serial: number, times: number): this {
    process.stdout.write(`${serial}\n`)
    return super.set(serial, times)
  }
}

await createSmtpServer({ hostname: 'backend.example', backend: wholeMessages(new Told()) }).listen(25, host)

const imap = createServer((socket) => {
  let text = ''
  socket.on('error', () => socket.destroy())
  socket.write('* OK [CAPABILITY IMAP4rev1] ready\r\n')
  socket.on('data', (chunk: Buffer) => {
    text += chunk.toString('latin1')
    for (let end = text.indexOf('\r\n'); end !== -1; end = text.indexOf('\r\n')) {
      const [tag = '*', word = ''] = text.slice(0, end).split(' ')
      const command = word.toUpperCase()
      text = text.slice(end + 2)
      socket.write(`${command === 'CAPABILITY' ? '* CAPABILITY IMAP4rev1\r\n' : ''}${tag} OK done\r\n`)
      if (command === 'LOGOUT') socket.end()
    }
  })
})
imap.listen(143, host, () => process.stdout.write('ready\n'))
