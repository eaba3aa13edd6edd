/*
 * Many IMAP sessions that are signed in and idle, as a process of its own, so that what they cost here is nobody's memory
 * but its own: `idler.ts plain|tls PORT COUNT USERS`, with the password of all users in the first line of standard input. It
 * opens them a few at a time, tells `idle` in a line when all of them idle, and holds them until standard input ends. Each
 * further line is a word that the gateway is about to say to all of them: `listening`, and when they heard it, in a line of JSON.
 */
import { connect as connectTcp, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { createInterface } from 'node:readline'

const [channel = '', ...numbers] = process.argv.slice(2)
const [port = 0, count = 0, users = 1] = numbers.map(Number)
/** As many as sign in at a time. */
const lanes = 16
/** The balancer that says for whom it speaks: clients of ten thousand addresses, and TLS that it has ended. */
const clientOf = (index: number): readonly number[] => [203, 0, 113 + (index >> 8), index & 255]

/** When the first half and the last of the sessions heard a word, milliseconds since 1970. */
export interface Heard {
  readonly word: string
  readonly half: number
  readonly last: number
}

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]()
const password = String((await lines.next()).value)
let next = 0
let listening: { readonly word: string; readonly at: number[] } | undefined
await Promise.all(
  Array.from({ length: lanes }, async () => {
    while (next < count) await open(next++)
  }),
)
process.stdout.write('idle\n')
for await (const word of { [Symbol.asyncIterator]: () => lines }) {
  listening = { word, at: [] }
  process.stdout.write('listening\n')
}
process.exit(0)

/** Of one session. What is said may come in pieces. */
function ear(): (chunk: Buffer) => void {
  let heard: typeof listening
  let text = ''
  return (chunk) => {
    if (listening === undefined || heard === listening) return
    const { word, at } = listening
    text += chunk.toString('latin1')
    if (!text.includes(word)) {
      text = text.slice(-word.length)
      return
    }
    heard = listening
    text = ''
    if (at.push(Date.now()) < count) return
    const told: Heard = { word, half: at[count >> 1] ?? 0, last: at.at(-1) ?? 0 }
    process.stdout.write(`${JSON.stringify(told)}\n`)
  }
}

async function open(index: number): Promise<void> {
  // One address has no more than some 28,000 ports to give.
  const from = { host: '127.0.0.1', port, localAddress: `127.0.0.${2 + (index % 8)}` }
  const socket = channel === 'tls' ? connectTls({ ...from, rejectUnauthorized: false }) : connectTcp(from)
  socket.on('error', (error) => {
    throw error
  })
  socket.on('close', () => {
    throw new Error(`session ${index} was closed`)
  })
  if (channel === 'plain') socket.write(header(clientOf(index)))
  const user = `user${1 + (index % users)}@example.org`
  const dialogue = `a LOGIN ${user} "${password}"\r\nb SELECT INBOX\r\nc IDLE\r\n`
  await said(socket, '* OK', '')
  await said(socket, '+ ', dialogue)
  socket.on('data', ear())
}

/** Sends, and waits for a line that begins so. */
async function said(socket: Socket, start: string, text: string): Promise<void> {
  let received = ''
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const take = (chunk: Buffer): void => {
    received += chunk.toString('latin1')
    if (received.split('\r\n').some((line) => line.startsWith(start))) resolve()
    else if (/^\S+ (?:NO|BAD) |^\* BYE/m.test(received)) reject(new Error(received))
  }
  socket.on('data', take)
  socket.write(text)
  await promise
  socket.off('data', take)
  socket.resume()
}

/** PROXY protocol 2.2: v2, TCP over IPv4, with an SSL TLV that says TLS 1.3, and no certificate. */
function header(client: readonly number[]): Buffer {
  const version = Buffer.from('TLSv1.3')
  const ssl = Buffer.concat([Buffer.from([0x01, 0, 0, 0, 0]), Buffer.from([0x21, 0, version.length]), version])
  const body = Buffer.concat([
    Buffer.from([...client, 127, 0, 0, 1, 0xb2, 0x6e, 0, 143]),
    Buffer.from([0x20, 0, ssl.length]),
    ssl,
  ])
  const head = Buffer.from([13, 10, 13, 10, 0, 13, 10, 0x51, 0x55, 0x49, 0x54, 10, 0x21, 0x11, 0, body.length])
  return Buffer.concat([head, body])
}
