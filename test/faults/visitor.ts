/*
 * An ordinary client, as a process of its own so that nobody's event loop but the gateway's is measured:
 * `visitor.ts SMTP-PORT IMAP-PORT`. It comes again and again, by turns to both, through the balancer, and tells in a line
 * of JSON each time how long it waited from its connect to the whole greeting; `failed` when there was none.
 */
import { connect } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'

interface Visit {
  readonly ms: number
  readonly failed?: string
}

const [smtp = 0, imap = 0] = process.argv.slice(2).map(Number)
const patienceMs = 20_000
const pauseMs = 10
/** Its own address is no attacker's. */
const header = 'PROXY TCP4 198.51.100.200 198.51.100.5 45678 25\r\n'

for (;;) {
  for (const port of [smtp, imap]) {
    process.stdout.write(`${JSON.stringify(await visit(port))}\n`)
    await pause(pauseMs)
  }
}

function visit(port: number): Promise<Visit> {
  const begun = performance.now()
  const { promise, resolve } = Promise.withResolvers<Visit>()
  const socket = connect({ host: '127.0.0.1', port, localAddress: '127.0.0.1', noDelay: true })
  const end = (failed?: string): void => {
    clearTimeout(timer)
    socket.destroy()
    resolve({ ms: performance.now() - begun, ...(failed !== undefined && { failed }) })
  }
  const timer = setTimeout(() => end('no greeting'), patienceMs)
  let text = ''
  socket.setEncoding('latin1')
  socket.once('connect', () => socket.write(header))
  socket.on('data', (chunk: string) => {
    text += chunk
    if (text.includes('\r\n')) end(/^(?:220 |\* OK )/.test(text) ? undefined : text)
  })
  socket.once('error', (error) => end(error.message))
  socket.once('end', () => end('closed'))
  return promise
}
