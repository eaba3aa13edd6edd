/*
 * Memory is used again and again, and Node gives some of it out as it was left. One client fills what a worker uses with
 * words of its own; another hears every kind of reply, and must never find them there.
 */
import { Dialogue } from '../kit/dialogue.ts'
import type { Account } from '../kit/gateway.ts'

/** What is in memory, and is nobody else's: 16 octets, so that any piece of half a hundred holds it whole. */
export const marker = 'M4rk-0f-0ld-Mem.'

export interface Ports {
  /** SMTP, open to anybody. */
  readonly smtp: number
  /** IMAP over TLS. */
  readonly imaps: number
}

async function signedIn(port: number, { name, password }: Account): Promise<Dialogue> {
  const client = await Dialogue.connect(port)
  await client.startTls()
  await client.line()
  await client.imap(`a LOGIN ${name} "${password}"`)
  await client.imap('b SELECT INBOX')
  return client
}

async function greeted(port: number): Promise<Dialogue> {
  const client = await Dialogue.connect(port)
  await client.reply()
  await client.ask('EHLO client.example')
  return client
}

/** Messages, searches, names and passwords full of the mark, in all sizes, until it is over. */
export function startSower({ smtp, imaps }: Ports, owner: Account): { readonly stop: () => Promise<void> } {
  const over = new AbortController()
  const byMail = async (): Promise<void> => {
    for (let round = 0; !over.signal.aborted; round += 1) {
      const client = await greeted(smtp)
      const body = `Subject: x\r\n\r\n${`${marker.repeat(4)}\r\n`.repeat(1 + ((round * 37) % 1_500))}`
      await client.ask('MAIL FROM:<a@example.net>')
      await client.ask(`RCPT TO:<${owner.name}>`)
      if (round % 2 === 0) {
        client.send(`BDAT ${body.length} LAST\r\n${body}`)
        await client.reply()
      } else {
        await client.ask('DATA')
        await client.ask(`${body}.`)
      }
      await client.ask(`MAIL FROM:<${marker.repeat(1 + (round % 12))}`)
      await client.ask(marker.repeat(1 + (round % 25)))
      client.destroy()
    }
  }
  const byImap = async (): Promise<void> => {
    const client = await signedIn(imaps, owner)
    for (let round = 0; !over.signal.aborted; round += 1) {
      const text = `Subject: x\r\n\r\n${marker.repeat(1 + ((round * 53) % 4_000))}`
      await client.imap(`c APPEND INBOX {${text.length}+}\r\n${text}`)
      await client.imap(`d SEARCH TEXT {${marker.length * 50}+}\r\n${marker.repeat(50)}`)
      await client.imap('e FETCH * BODY.PEEK[]')
      await client.imap(`f STORE 1:* +FLAGS.SILENT (\\Deleted)`)
      await client.imap('g EXPUNGE')
    }
    client.destroy()
  }
  const running = [byMail(), byImap()]
  return {
    stop: async () => {
      over.abort()
      await Promise.all(running)
    },
  }
}

const attached = [
  'Subject: hi',
  'MIME-Version: 1.0',
  'Content-Type: multipart/mixed; boundary=b',
  '',
  '--b',
  'Content-Transfer-Encoding: base64',
  '',
  Buffer.from('one and two and three, '.repeat(20)).toString('base64'),
  '--b',
  'Content-Transfer-Encoding: quoted-printable',
  '',
  // Three octets become one: two thirds of the room that it was given stay as they were.
  `${'=C3=A9'.repeat(60)}=\r\n and broken =4`,
  '--b--',
  '',
].join('\r\n')

/** Replies of every kind, so many or some more, to one who has nothing to do with the mark. */
export async function listen({ smtp, imaps }: Ports, reader: Account, replies: number): Promise<readonly string[]> {
  const heard: string[] = []
  const client = await signedIn(imaps, reader)
  for (let round = 0; heard.length < replies; round += 1) {
    const commands = [
      `APPEND INBOX {${attached.length}+}\r\n${attached}`,
      `FETCH 1:* (FLAGS ENVELOPE BODYSTRUCTURE BODY.PEEK[]<${round % 50}.${1 + (round % 700)}>)`,
      'FETCH 1:* (BINARY.PEEK[1] BINARY.PEEK[2] BINARY.SIZE[1] BODY.PEEK[HEADER.FIELDS (SUBJECT)])',
      'SEARCH TEXT "nowhere"',
      'SORT (SUBJECT) UTF-8 ALL',
      'LIST "" * RETURN (STATUS (MESSAGES UIDNEXT SIZE))',
      `STORE 1 +FLAGS (k${round % 20})`,
      'COPY 1 INBOX',
      'ID NIL',
      'CAPABILITY',
      'XBOGUS',
      'FETCH 9999 FLAGS',
      ...(round % 5 === 4 ? ['STORE 1:* +FLAGS.SILENT (\\Deleted)', 'EXPUNGE'] : []),
    ]
    for (const [index, command] of commands.entries()) {
      heard.push((await client.imap(`t${round}.${index} ${command}`)).join('\n'))
    }
    const mail = await greeted(smtp)
    const inMail = ['EHLO client.example', 'VRFY x', `MAIL FROM:<${'x'.repeat(round % 300)}`, 'HELP', 'XYZ', 'RSET']
    for (const command of inMail) heard.push((await mail.ask(command)).text)
    mail.destroy()
  }
  client.destroy()
  return heard
}
