import { once } from 'node:events'
import { connect } from 'node:net'

/** What clients met who came and went. */
export interface Visits {
  /** Greeted, and answered to their QUIT. */
  readonly served: number
  /** Why each of the others was not. */
  readonly lost: readonly string[]
}

/**
 * Clients who come one after the other, so many at a time: connect, wait for the greeting, EHLO, QUIT. Each connection that
 * is refused, reset, or ends before it was answered, is lost; the client is the judge.
 */
export function startVisitors(port: number, atOnce: number): { readonly stop: () => Promise<Visits> } {
  const lost: string[] = []
  let served = 0
  const over = new AbortController()
  const comeAgain = async (): Promise<void> => {
    while (!over.signal.aborted) {
      const trouble = await visit(port)
      if (trouble === undefined) served++
      else lost.push(trouble)
    }
  }
  const all = Array.from({ length: atOnce }, comeAgain)
  return {
    stop: async () => {
      over.abort()
      await Promise.all(all)
      return { served, lost }
    },
  }
}

/** @returns why it was lost. */
async function visit(port: number): Promise<string | undefined> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true })
  let received = ''
  let failure: string | undefined
  socket.setTimeout(patienceMs, () => socket.destroy(new Error('no answer')))
  socket.on('error', (error: NodeJS.ErrnoException) => {
    failure = error.code ?? error.message
  })
  socket.on('data', (chunk: Buffer) => {
    if (received === '') socket.write('EHLO client.example.net\r\nQUIT\r\n')
    received += chunk.toString('latin1')
  })
  await once(socket, 'close').catch(() => {})
  if (/^220 .*\r\n(?:250[- ].*\r\n)+221 .*\r\n$/.test(received)) return undefined
  return `${failure ?? 'ended'} after ${JSON.stringify(received)}`
}

/** A machine under load is slow, and that is not a loss. */
const patienceMs = 30_000
