/*
 * Postfix's smtp-source as the generator: another hand's C, against which this package's own is checked.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'

export interface SourceLoad {
  readonly port: number
  readonly sessions: number
  readonly messageBytes: number
  /** How long it should take, about. */
  readonly seconds: number
  /** A connection for each message. */
  readonly reconnects?: boolean
}

/** A first run, to learn how many messages are a second's worth. */
const probeMessages = 300

/** @returns messages a second, from the program's start to its end. Throws when one was refused. */
export async function runSmtpSource(load: SourceLoad): Promise<number> {
  const guess = await send(load, probeMessages)
  return await send(load, Math.max(probeMessages, Math.round(guess * load.seconds)))
}

async function send({ port, sessions, messageBytes, reconnects }: SourceLoad, messages: number): Promise<number> {
  // -d: connections are kept; -N makes no numbers for the addresses; the length is of the text, without a header.
  const kept = reconnects === true ? [] : ['-d']
  const addresses = ['-f', 'ann@example.net', '-t', 'bob@example.org', '-M', 'client.example']
  const size = ['-s', String(sessions), '-m', String(messages), '-l', String(messageBytes)]
  const started = performance.now()
  const child = spawn('smtp-source', [...kept, ...size, ...addresses, `inet:127.0.0.1:${port}`], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let complaint = ''
  child.stderr.on('data', (bytes: Buffer) => {
    complaint = (complaint + bytes.toString()).slice(-500)
  })
  const [status] = (await once(child, 'close')) as [number | null]
  if (status !== 0) throw new Error(`smtp-source ended with ${status}: ${complaint.trim()}`)
  return (messages * 1_000) / (performance.now() - started)
}
