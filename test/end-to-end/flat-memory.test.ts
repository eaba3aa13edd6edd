// What a message costs in memory does not depend on its size, nor on how slowly its destination takes it.
//
// POSTERN_MESSAGE_MIB=1024 npx vitest run --project end-to-end flat-memory      sends as much as is asked for
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { globSync, readFileSync, statSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { afterEach, describe, expect, test } from 'vitest'
import { createSmtpServer } from '../../packages/smtp/src/index.ts'
import { tellFigure } from '../faults/figure.ts'
import { listener } from '../kit/configuration.ts'
import { ann, startGateway } from '../kit/gateway.ts'
import { within } from '../kit/patience.ts'
import { freePorts } from '../kit/ports.ts'
import { start } from '../kit/run.ts'

const mib = 2 ** 20
const messageBytes = Number(process.env['POSTERN_MESSAGE_MIB'] ?? 160) * mib
/** V8 collects buffers when 64 MiB of them are spent (`kExternalAllocationSoftLimit`); any message here is bigger than this. */
const allowedBytes = 96 * mib
const timeoutMs = 60_000 + (messageBytes / mib) * 500

const cleanUps: (() => Promise<void> | void)[] = []
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).toReversed()) await cleanUp()
})

/** The most memory that a process ever had, bytes (`proc(5)`). */
function peakOf(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  return Number(/^VmHWM:\s+(\d+) kB/m.exec(status)?.[1]) * 1024
}

/** A message of exactly so many octets, line ends included, in pieces. */
function* messageOf(bytes: number): Generator<Buffer> {
  const head = 'Subject: big\r\n\r\n'
  yield Buffer.from(head)
  const piece = Buffer.from(`${'x'.repeat(1022)}\r\n`.repeat(1024))
  let left = bytes - head.length
  for (; left > piece.length + 1024; left -= piece.length) yield piece
  yield Buffer.from(`${'y'.repeat(62)}\r\n`.repeat(Math.floor(left / 64) - 1))
  yield Buffer.from(`${'z'.repeat((left % 64) + 62)}\r\n`)
}

interface Sent {
  /** The last reply. */
  readonly reply: string
  /** The most that was written and not yet taken by whoever reads it in the end. */
  readonly mostUnderWay: number
}

/** Sends one message as fast as it is taken. */
async function sendBig(port: number, how: 'DATA' | 'BDAT', bytes: number, taken: () => number): Promise<Sent> {
  const socket = connect(port, '127.0.0.1')
  cleanUps.push(() => void socket.destroy())
  const replies = socket.setEncoding('latin1')[Symbol.asyncIterator]()
  let text = ''
  const reply = async (): Promise<string> => {
    for (;;) {
      const end = /^\d{3} [^\r\n]*\r\n/m.exec(text)
      if (end !== null) {
        text = text.slice(end.index + end[0].length)
        return end[0].trim()
      }
      const next = await within(timeoutMs, 'a reply', replies.next() as Promise<IteratorResult<string>>)
      if (next.done === true) throw new Error(`closed behind ${text}`)
      text += next.value
    }
  }
  let written = 0
  let mostUnderWay = 0
  const write = async (chunk: Buffer): Promise<void> => {
    written += chunk.length
    if (!socket.write(chunk)) await within(timeoutMs, 'the server to take more', once(socket, 'drain'))
    mostUnderWay = Math.max(mostUnderWay, written - taken())
  }
  await reply()
  for (const line of ['EHLO client.example', 'MAIL FROM:<big@example.net>', `RCPT TO:<${ann.name}>`]) {
    socket.write(`${line}\r\n`)
    await reply()
  }
  if (how === 'DATA') {
    socket.write('DATA\r\n')
    await reply()
    for (const piece of messageOf(bytes)) await write(piece)
    socket.write('.\r\n')
  } else {
    for (const piece of messageOf(bytes)) {
      socket.write(`BDAT ${piece.length}\r\n`)
      await write(piece)
      await reply()
    }
    socket.write('BDAT 0 LAST\r\n')
  }
  const last = await reply()
  socket.destroy()
  return { reply: last, mostUnderWay }
}

describe.each(['DATA', 'BDAT'] as const)('by %s', (how) => {
  test('into the store', { timeout: timeoutMs }, async () => {
    const ports = await freePorts('admin', 'smtp')
    const tables = [
      '[server]\nhostname = "mx.example.org"\nworkers = 1\ndata-dir = "data"',
      '[smtp]\nlocal-domains = ["example.org"]\nmax-message-size = "1GiB"',
      listener('mx', { protocol: 'smtp', bind: ports.smtp, mode: 'off' }),
    ]
    const gateway = await startGateway({ config: tables.join('\n\n'), adminPort: ports.admin })
    cleanUps.push(() => gateway.stop())
    const [worker = 0] = gateway.workers()
    const files = (): string[] => globSync(join(gateway.folder, 'data/mail/*/Maildir/{new,cur}/*'))
    await sendBig(ports.smtp, how, 8 * mib, () => 0)
    const before = peakOf(worker)
    const { reply } = await sendBig(ports.smtp, how, messageBytes, () => 0)
    expect(reply).toMatch(/^250 2\.0\.0 /)
    const grown = peakOf(worker) - before
    tellFigure(`${messageBytes / mib} MiB by ${how} into the store: ${(grown / mib).toFixed(1)} MiB more memory`)
    expect(Math.max(...files().map((file) => statSync(file).size))).toBeGreaterThan(messageBytes)
    expect(grown).toBeLessThan(allowedBytes)
  })

  test('BK-08: through a relay to a slow upstream, which slows the client', { timeout: timeoutMs }, async () => {
    let taken = 0
    const upstream = createSmtpServer({
      hostname: 'upstream.example',
      limits: { maxMessageBytes: 2 ** 31 },
      backend: {
        async data(message) {
          taken = 0
          for await (const chunk of message) {
            taken += (chunk as Buffer).length
            // A millisecond for each 64 KiB or less.
            await pause(1)
          }
        },
      },
    })
    const { port: upstreamPort } = await upstream.listen(0, '127.0.0.1')
    cleanUps.push(() => upstream.close(0))
    const { front: port } = await freePorts('front')
    const front = await startFront(port, upstreamPort)
    await sendBig(port, how, 8 * mib, () => taken)
    const before = peakOf(front.pid ?? 0)
    taken = 0
    const { reply, mostUnderWay } = await sendBig(port, how, messageBytes, () => taken)
    expect(reply).toMatch(/^250 /)
    const grown = peakOf(front.pid ?? 0) - before
    tellFigure(
      `${messageBytes / mib} MiB by ${how} through a relay: ${(grown / mib).toFixed(1)} MiB more memory, ` +
        `at most ${(mostUnderWay / mib).toFixed(1)} MiB under way`,
    )
    expect(taken).toBeGreaterThan(messageBytes)
    expect(grown).toBeLessThan(allowedBytes)
    // Two sockets and what the kernel keeps for them.
    expect(mostUnderWay).toBeLessThan(32 * mib)
  })
})

async function startFront(port: number, upstreamPort: number): Promise<ChildProcess> {
  const program = fileURLToPath(new URL('../kit/relaying-front.ts', import.meta.url))
  const heap = '--max-old-space-size=48'
  const front = start(process.execPath, [heap, '--conditions=@postern/source', program, `${port}`, `${upstreamPort}`])
  await within(30_000, 'the front to listen', once(front.stdout ?? front, 'data'))
  return front
}
