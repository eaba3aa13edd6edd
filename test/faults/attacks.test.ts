// Attacks over the wire on a running gateway, while an ordinary client comes again and again: it is greeted within a second
// each time, memory is bounded, and everything is given back.
import { once } from 'node:events'
import { globSync, readFileSync, statSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { deflateRawSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { bombs } from '../../packages/imap/test/message/bombs.ts'
import { makeCertificate } from '../kit/certificates.ts'
import { listener } from '../kit/configuration.ts'
import { Dialogue } from '../kit/dialogue.ts'
import { ann, startGateway, type Account, type Gateway } from '../kit/gateway.ts'
import { eventually, within } from '../kit/patience.ts'
import { freePorts } from '../kit/ports.ts'
import { ends, signature, v1, v2, v2Bytes, v2Local } from '../kit/proxy-header.ts'
import { peer, requirePeer } from '../kit/peers.ts'
import { start } from '../kit/run.ts'
import { tellAttacks, tellFigure } from './figure.ts'
import { hostileBackends, startHostileBackends } from './hostile-imap-backends.ts'
import { listen, marker, startSower } from './old-memory.ts'
import { perTier } from './tier.ts'
import { underAttack, type Attack, type Endured } from './under-attack.ts'

const mib = 2 ** 20
const ports = await freePorts('admin', 'smtp', 'imap', 'direct', 'submission', 'imaps', 'proxied')
/** Whose mailbox the bombs go to. */
const bob: Account = { name: 'bob@example.org', password: 'the password of bob' }
let gateway: Gateway
let hostileOnes: Awaited<ReturnType<typeof startHostileBackends>>

beforeAll(async () => {
  const { cert, key } = await makeCertificate()
  hostileOnes = await startHostileBackends()
  const upstreams = [...hostileOnes.ports].flatMap(([name, port]) => [
    `[upstream.${name}]\nprotocol = "imap"\nbackends = ["127.0.0.1:${port}"]\ncredentials-in-clear = true\nhealth.check = false`,
    `[[route]]\nlisteners = ["proxied"]\nusers = ["${name}@hostile.example"]\nto = "${name}"`,
  ])
  const tables = [
    '[proxy]\ntrusted-networks = ["127.0.0.0/24"]\nheader-timeout = "10s"',
    listener('mx', { protocol: 'smtp', bind: ports.smtp, mode: 'require' }),
    listener('imap', { protocol: 'imap', bind: ports.imap, mode: 'require' }),
    listener('direct', { protocol: 'smtp', bind: ports.direct, tls: 'starttls', mode: 'off' }),
    listener('submission', { protocol: 'submission', bind: ports.submission, tls: 'implicit', mode: 'off' }),
    listener('imaps', { protocol: 'imap', bind: ports.imaps, tls: 'implicit', mode: 'off' }),
    listener('proxied', { protocol: 'imap', bind: ports.proxied, tls: 'implicit', mode: 'off' }).replace(
      '\nbind',
      '\nsign-in = "upstream"\nbind',
    ),
    ...upstreams,
    `[tls]\ncertificates = [{ cert = "${cert}", key = "${key}" }]`,
    // So that what never reads can be sent much in one transaction.
    '[smtp]\nlocal-domains = ["example.org"]\nmax-recipients = 50000',
    '[policy.concurrency]\nconnections-per-client = "unlimited"',
  ]
  gateway = await startGateway({ config: tables.join('\n\n'), adminPort: ports.admin, accounts: [ann, bob] })
})
afterAll(async () => {
  await gateway?.stop()
  hostileOnes?.stop()
  tellAttacks()
})

const attack = (how: Attack): Promise<Endured> =>
  underAttack({ gateway, smtpPort: ports.smtp, imapPort: ports.imap }, how)

/** Bare connections that have said these bytes; more than one event loop turn makes are opened in batches. */
async function openMany(count: number, port: number, bytes: Uint8Array | string, from = '127.0.7'): Promise<Socket[]> {
  const sockets: Socket[] = []
  while (sockets.length < count) {
    const batch = Array.from({ length: Math.min(200, count - sockets.length) }, async (_, index) => {
      const localAddress = `${from}.${1 + ((sockets.length + index) % 200)}`
      const socket = connect({ host: '127.0.0.1', port, localAddress, noDelay: true })
      socket.on('error', () => {})
      await within(30_000, 'a connection', once(socket, 'connect'))
      socket.write(bytes)
      return socket
    })
    sockets.push(...(await Promise.all(batch)))
  }
  return sockets
}

const letGo = (sockets: readonly Socket[]) => (): void => {
  for (const socket of sockets) socket.resetAndDestroy()
}

/** Resolves when the other side has ended each of them. */
async function allEnded(sockets: readonly Socket[]): Promise<void> {
  await Promise.all(
    sockets.map(async (socket) => {
      socket.resume()
      // Not by `once`, for which a reset on the way there would be an error.
      const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()))
      if (!socket.closed) await within(30_000, 'the end of a connection', closed)
    }),
  )
}

/** Writes the same again and again until so many bytes are out, or the other side does not want more for a while. */
async function pour(socket: Socket, piece: Buffer, bytes: number, patienceMs = 500): Promise<number> {
  let out = 0
  while (out < bytes && !socket.destroyed) {
    out += piece.length
    if (socket.write(piece)) continue
    const waited = new AbortController()
    const timer = setTimeout(() => waited.abort(), patienceMs)
    try {
      await Promise.race([
        once(socket, 'drain', { signal: waited.signal }),
        once(socket, 'close', { signal: waited.signal }),
      ])
    } catch {
      return out
    } finally {
      clearTimeout(timer)
      waited.abort()
    }
  }
  return out
}

async function signedIn(user: Account): Promise<Dialogue> {
  const client = await Dialogue.connect(ports.imaps)
  await client.startTls()
  await client.line()
  expect((await client.imap(`a LOGIN ${user.name} "${user.password}"`)).at(-1)).toMatch(/^a OK /)
  return client
}

/** A mailbox `many` of 512 messages, each with fifty references. */
async function fillMany(): Promise<void> {
  const client = await signedIn(ann)
  await client.imap('b CREATE many')
  const text = `Subject: one of many\r\nReferences: ${'<x@example.org> '.repeat(50)}\r\n\r\nx\r\n`
  expect((await client.imap(`c APPEND many {${text.length}+}\r\n${text}`)).at(-1)).toMatch(/^c OK /)
  await client.imap('d SELECT many')
  for (let doubled = 0; doubled < 9; doubled += 1) {
    expect((await client.imap('e COPY 1:* many')).at(-1)).toMatch(/^e OK /)
    await client.imap('f NOOP')
  }
  client.destroy()
}

/** Reads up to the response of this tag, whatever it says. */
async function tagged(session: Dialogue, tag: string): Promise<void> {
  while (!(await session.line()).startsWith(`${tag} `));
}

function keywords(count: number): string {
  return Array.from({ length: count }, (_, index) => `k${index}`).join(' ')
}

describe('headers', () => {
  test('PX-37: half headers', { timeout: 120_000 }, async () => {
    const count = perTier({ change: 300, nightly: 8_000, release: 8_000 })
    await attack({
      run: async () => letGo(await openMany(count, ports.smtp, v2().subarray(0, 20), '127.0.0')),
    })
  })

  test('PX-11: a thousand headers that claim what they do not send', async () => {
    const within4K = Buffer.concat([signature, Buffer.from('21110fa0', 'hex')])
    await attack({
      run: async () => {
        await allEnded(await openMany(50, ports.smtp, v2Bytes({ length: 65_535 }), '127.0.0'))
        return letGo(await openMany(1_000, ports.smtp, within4K, '127.0.0'))
      },
      // 4,000 bytes each would be 4 MB; what the sockets themselves take, a process needs for any thousand of them.
      maxGrownBytes: 32 * mib,
    })
  })

  test('PX-31: FIN, RST and half-close behind every byte of a header', async () => {
    const headers = [v1(), v2(), v2Local]
    await attack({
      run: async () => {
        for (const header of headers) {
          for (let bytes = 0; bytes <= header.length; bytes += 1) {
            const [fin, reset, half] = await openMany(3, ports.smtp, header.subarray(0, bytes), '127.0.0')
            fin?.destroy()
            reset?.resetAndDestroy()
            half?.end()
            half?.resume()
          }
        }
        return () => {}
      },
    })
  })

  test('PX-26: health checks and bare connects that close at once', async () => {
    const count = perTier({ change: 300, nightly: 10_000, release: 10_000 })
    await gateway.settleLog()
    const before = gateway.log.length
    await attack({
      run: async () => {
        for (let done = 0; done < count; done += 100) {
          const checks = await openMany(100, ports.smtp, v2Local, '127.0.0')
          const bare = await openMany(100, ports.imap, '', '127.0.0')
          letGo([...checks, ...bare])()
        }
        return () => {}
      },
    })
    await gateway.settleLog()
    const lines = gateway.log
      .slice(before)
      .filter(({ event }) => event !== 'health.checks' && event !== 'health.silent-peers')
    // Lines of the visitor, and of the attack before this one.
    expect(lines.filter((record) => !['198.51.100.200', ends.source].includes(String(record['client'])))).toEqual([])
  })
})

// Over 511 for each worker, which is as many as Node lets wait unless it is told. Who is not let in tries again after a second.
test('SC-18: a burst while the workers are busy: all are let in to wait, and an ordinary client behind them', async () => {
  const workers = gateway.workers()
  const begun = performance.now()
  for (const worker of workers) process.kill(worker, 'SIGSTOP')
  let sockets: readonly Socket[] = []
  try {
    sockets = await openMany(700 * workers.length, ports.direct, '')
    tellFigure(`${sockets.length} let in within ${(performance.now() - begun).toFixed(0)} ms`)
  } finally {
    for (const worker of workers) process.kill(worker, 'SIGCONT')
    letGo(sockets)()
  }
  await attack({ run: () => Promise.resolve(() => {}) })
})

describe('TLS', () => {
  test('TL-10: a thousand ClientHellos that claim 16 MiB and stall', async () => {
    // A record of 16 KiB that begins a handshake message of 2^24-1 octets.
    const claims = Buffer.from('16030140000100ffffff0303', 'hex')
    await attack({
      run: async () => letGo(await openMany(1_000, ports.imaps, claims)),
      maxGrownBytes: 96 * mib,
    })
  })

  test('TL-11: server names, each another, and hostile ones', { timeout: 300_000 }, async () => {
    const count = perTier({ change: 100, nightly: 10_000, release: 10_000 })
    const hostile = ['__proto__', 'constructor', 'MX.EXAMPLE.ORG', 'mx.example.org.', 'x'.repeat(255), '*.example.org']
    const names = [...hostile, ...Array.from({ length: count }, (_, index) => `name-${index}.example`)]
    await attack({
      run: async () => {
        for (let at = 0; at < names.length; at += 10) {
          await Promise.all(
            names.slice(at, at + 10).map(async (name) => {
              const client = await Dialogue.connect(ports.imaps)
              await client.startTls(name)
              expect(await client.line()).toMatch(/^\* OK /)
              client.destroy()
            }),
          )
        }
        return () => {}
      },
      maxGrownBytes: 64 * mib,
    })
  })

  test('TL-08: renegotiation again and again', async () => {
    await attack({
      run: async () => {
        const args = ['s_client', '-connect', `127.0.0.1:${ports.imaps}`, '-tls1_2', '-quiet', '-no_ign_eof']
        const { code } = await peer('openssl', args, { input: 'R\nR\nR\nR\nR\n', timeoutMs: 30_000 })
        expect(code).not.toBeNull()
        return () => {}
      },
    })
  })
})

describe('SMTP', () => {
  test('SC-02: lines without end', async () => {
    const clients = 20
    await attack({
      run: async () => {
        const sockets = await openMany(clients, ports.direct, 'EHLO client.example\r\n')
        const taken = await Promise.all(sockets.map((socket) => pour(socket, Buffer.alloc(65_536, 'x'), 32 * mib)))
        await allEnded(sockets)
        tellFigure(`${clients} lines cut off, the longest after ${Math.max(...taken) / 1024} KiB were sent`)
        return () => {}
      },
      maxGrownBytes: 40 * mib,
    })
  })

  test('SC-16: clients that never read', { timeout: 180_000 }, async () => {
    requirePeer('python3')
    const clients = perTier({ change: 2, nightly: 100, release: 100 })
    // Long enough to come to the end of `max-recipients`, and be sent away, for a client that is not held back.
    const patience = perTier({ change: 3, nightly: 40, release: 40 })
    const most = 8 * mib
    const program = fileURLToPath(new URL('never-reads.py', import.meta.url))
    await attack({
      run: async () => {
        const child = start('python3', [program, `${ports.direct}`, `${clients}`, `${most}`, ann.name, `${patience}`])
        const [line] = (await within(120_000, 'all of them to be held back', once(child.stdout ?? child, 'data'))) as [
          Buffer,
        ]
        const taken = JSON.parse(line.toString()) as readonly number[]
        tellFigure(`${taken.length} clients held back, the last one after ${(Math.max(...taken) / mib).toFixed(1)} MiB`)
        // Nobody is cut off before they are held back, and none may say all that it has.
        expect(taken.length).toBe(clients)
        expect(Math.max(...taken)).toBeLessThan(most)
        return () => {
          child.kill('SIGKILL')
        }
      },
      // The recipients that each has named are kept as well, some thousands.
      maxGrownBytes: (96 + 3 * clients) * mib,
    })
  })

  test('ST-09: clients that go between the final dot and the reply: what they sent is there', async () => {
    const clients = 30
    const begin = `EHLO client.example\r\nMAIL FROM:<a@example.net>\r\nRCPT TO:<${ann.name}>\r\nDATA\r\n`
    await attack({
      run: async () => {
        const sockets = await openMany(clients, ports.direct, '')
        await Promise.all(
          sockets.map(async (socket, index) => {
            socket.write(begin)
            let text = ''
            const invited = eventually('354', () => (text.includes('\r\n354 ') ? true : undefined), 30_000)
            socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')))
            await invited
            // In one segment with the FIN, so that the gateway has all of it when it learns that the client is gone.
            socket.end(`Subject: gone-${index}\r\n\r\nx\r\n.\r\n`)
          }),
        )
        return () => {}
      },
    })
    const client = await signedIn(ann)
    await client.imap('b EXAMINE INBOX')
    const found = await eventually('all messages', async () => {
      const [line = ''] = await client.imap('c SEARCH SUBJECT "gone-"')
      return line.split(' ').length - 2 >= clients ? line : undefined
    })
    tellFigure(`${clients} clients gone, ${found.split(' ').length - 2} messages kept`)
    client.destroy()
  })
})

describe('IMAP', () => {
  test('IM-06: parentheses without end before login, on twenty connections', async () => {
    await attack({
      run: async () => {
        const sockets = await openMany(20, ports.imap, '', '127.0.0')
        for (const socket of sockets) socket.write(v1())
        await Promise.all(
          sockets.map((socket) => pour(socket, Buffer.from('a SEARCH '.concat('('.repeat(100_000))), mib)),
        )
        await allEnded(sockets)
        return () => {}
      },
      maxGrownBytes: 64 * mib,
    })
  })

  describe('signed in: much work for few bytes', () => {
    beforeAll(fillMany)

    test.each([
      ['IM-08: searches nested fifteen thousand deep', `SEARCH ${'NOT '.repeat(15_000)}ALL`],
      ['IM-09: sets that name everything ten thousand times', `FETCH ${'1:*,'.repeat(9_999)}1:* (FLAGS)`],
      ['IM-11: ten thousand keywords', `STORE 1 +FLAGS.SILENT (${keywords(10_000)})`],
      ['IM-12: a thousand wildcards', `LIST "" "${'*%'.repeat(500)}x"`],
      ['IM-16: SORT and THREAD over all', 'SORT (SUBJECT FROM ARRIVAL) UTF-8 TEXT "one of many"'],
      ['IM-17: an ID of two hundred pairs', `ID (${Array.from({ length: 200 }, (_, n) => `"n${n}" "v"`).join(' ')})`],
    ])('%s', { timeout: 300_000 }, async (_, command) => {
      const clients = 3
      const commands = perTier({ change: 4, nightly: 200, release: 200 })
      await attack({
        run: async () => {
          const sessions = await Promise.all(Array.from({ length: clients }, () => signedIn(ann)))
          for (const session of sessions) await session.imap('b SELECT many')
          await Promise.all(
            sessions.map(async (session) => {
              // Some of them are BAD, and who says nothing else is cut off.
              session.send(
                Array.from({ length: commands }, (__, at) => `a${at} ${command}\r\nb${at} NOOP\r\n`).join(''),
              )
              for (let at = 0; at < commands; at += 1) await tagged(session, `b${at}`)
            }),
          )
          return () => sessions.forEach((session) => session.destroy())
        },
        maxGrownBytes: 96 * mib,
      })
    })
  })

  test('IM-20: a client that asks for much and never reads', { timeout: 120_000 }, async () => {
    const client = await signedIn(ann)
    const body = `Subject: two MiB\r\n\r\n${`${'y'.repeat(62)}\r\n`.repeat(32_768)}`
    client.send(`b APPEND INBOX {${body.length}+}\r\n${body}\r\n`)
    expect(await client.line()).toMatch(/^b OK /)
    const exists = (await client.imap('c SELECT INBOX')).find((line) => line.endsWith(' EXISTS'))
    const last = /\d+/.exec(exists ?? '')?.[0]
    client.destroy()
    await attack({
      run: async () => {
        const glutton = await signedIn(ann)
        await glutton.imap('c SELECT INBOX')
        const secure = glutton.pauseReading()
        secure.write(Array.from({ length: 400 }, (_, index) => `f${index} FETCH ${last} BODY.PEEK[]\r\n`).join(''))
        return () => glutton.destroy()
      },
      maxGrownBytes: 96 * mib,
    })
  })

  test('MS-21: a deflate bomb', async () => {
    const client = await signedIn(ann)
    expect((await client.imap('b COMPRESS DEFLATE')).at(-1)).toMatch(/^b OK /)
    await attack({
      run: () => {
        // A line of 64 MiB in 64 KiB.
        client.send(deflateRawSync(Buffer.alloc(64 * mib, 'x'), { level: 9 }))
        return Promise.resolve(() => client.destroy())
      },
      maxGrownBytes: 64 * mib,
    })
  })
})

test('BK-09: IMAP backends that say what no client should have to hear', { timeout: 120_000 }, async () => {
  const each = perTier({ change: 2, nightly: 20, release: 20 })
  await attack({
    run: async () => {
      const clients = hostileBackends.flatMap((backend) => Array.from({ length: each }, () => backend))
      const sessions = await Promise.all(
        clients.map(async ({ name, signsIn }, index) => {
          const from = `127.0.9.${1 + (index % 200)}`
          const client = await Dialogue.connect(ports.proxied, { timeoutMs: 60_000, from })
          const secure = await client.startTls()
          await client.line()
          client.command(`a LOGIN "${name}@hostile.example" "a password"`)
          const verdict = await client.line()
          expect(verdict).toMatch(signsIn ? /^a OK / : /^a NO \[(?:UNAVAILABLE|SERVERBUG)\] /)
          // What it was handed on to is nothing that it reads.
          if (signsIn) secure.pause()
          return client
        }),
      )
      // Time for all that would be kept for them to come.
      await new Promise((resolve) => setTimeout(resolve, perTier({ change: 500, nightly: 10_000, release: 10_000 })))
      return () => sessions.forEach((session) => session.destroy())
    },
    maxGrownBytes: 96 * mib,
  })
})

test('AU-09: hundreds of logins at once', { timeout: 120_000 }, async () => {
  const count = perTier({ change: 40, nightly: 200, release: 200 })
  const response = Buffer.from(`\0${ann.name}\0not the password`).toString('base64')
  await attack({
    run: async () => {
      const outcomes = await Promise.all(
        Array.from({ length: count }, async (_, index) => {
          const from = `127.0.8.${index + 1}`
          const client = await Dialogue.connect(ports.submission, { timeoutMs: 60_000, from })
          await client.startTls()
          await client.reply()
          await client.ask('EHLO client.example')
          const { code } = await client.ask(`AUTH PLAIN ${response}`)
          client.destroy()
          return code
        }),
      )
      expect(outcomes.every((code) => code === 535 || code === 454)).toBe(true)
      tellFigure(`${count} logins at once: ${outcomes.filter((code) => code === 535).length} judged, the rest put off`)
      return () => {}
    },
  })
})

test('MS-20: every message that is a bomb, at once', { timeout: 180_000 }, async () => {
  const rounds = perTier({ change: 1, nightly: 3, release: 3 })
  await attack({
    run: async () => {
      const codes = await Promise.all(
        Array.from({ length: rounds }, () => bombs)
          .flat()
          .map(async ([, text], index) => {
            const client = await Dialogue.connect(ports.direct, {
              from: `127.0.6.${1 + (index % 200)}`,
              timeoutMs: 60_000,
            })
            await client.reply()
            await client.ask('EHLO client.example')
            await client.ask('MAIL FROM:<a@example.net> BODY=8BITMIME')
            await client.ask(`RCPT TO:<${bob.name}>`)
            const bytes = Buffer.from(text(), 'latin1')
            client.send(Buffer.concat([Buffer.from(`BDAT ${bytes.length} LAST\r\n`), bytes]))
            const { code } = await client.reply()
            client.destroy()
            return code
          }),
      )
      expect(codes.filter((code) => code !== 250 && code !== 554 && code !== 550)).toEqual([])
      const client = await signedIn(bob)
      await client.imap('b SELECT INBOX')
      const begun = performance.now()
      for (const command of [
        'c FETCH 1:* (ENVELOPE BODYSTRUCTURE)',
        'd SEARCH TEXT nowhere',
        'e THREAD REFERENCES UTF-8 ALL',
      ]) {
        expect((await client.imap(command)).at(-1)).toMatch(/^[c-e] OK /)
      }
      client.destroy()
      tellFigure(
        `${codes.filter((code) => code === 250).length} of ${codes.length} taken; read, searched and threaded in ${((performance.now() - begun) / 1000).toFixed(1)} s`,
      )
      return () => {}
    },
    maxGrownBytes: 192 * mib,
  })
})

test('JS-04: old memory is in no reply, no line and no file', { timeout: 300_000 }, async () => {
  const replies = perTier({ change: 150, nightly: 10_000, release: 10_000 })
  const both = { smtp: ports.direct, imaps: ports.imaps }
  const sower = startSower(both, ann)
  let heard: readonly string[]
  try {
    heard = await listen(both, bob, replies)
  } finally {
    await sower.stop()
  }
  // Half of it is enough: it need not have begun where what was left in memory began.
  expect(heard.filter((text) => text.includes(marker.slice(0, 8)))).toEqual([])
  await gateway.settleLog()
  expect(gateway.log.map((record) => JSON.stringify(record)).filter((line) => line.includes(marker))).toEqual([])
  const files = globSync(join(gateway.folder, 'data/mail', bob.name, '**/*')).filter(
    // A lock may be gone again.
    (path) => !path.endsWith('.lock') && statSync(path).isFile(),
  )
  expect(files.length).toBeGreaterThan(3)
  expect(files.filter((path) => readFileSync(path).includes(marker))).toEqual([])
  tellFigure(`in 0 of ${heard.length} replies, ${gateway.log.length} lines and ${files.length} files`)
})

test('RS-07: all processors busy', async () => {
  await attack({
    run: async () => {
      const program = fileURLToPath(new URL('busy.ts', import.meta.url))
      const busy = Array.from({ length: 4 }, () => start(process.execPath, [program]))
      await Promise.all(busy.map((each) => within(30_000, 'a busy process', once(each.stdout ?? each, 'data'))))
      await new Promise((resolve) => setTimeout(resolve, perTier({ change: 1_000, nightly: 20_000, release: 20_000 })))
      return () => {
        for (const each of busy) each.kill('SIGKILL')
      }
    },
  })
})
