import { once } from 'node:events'
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import { explainHeader } from '@postern/core'
import { describe, expect, onTestFinished, test } from 'vitest'
import { makeSelfSignedCertificate } from '../../src/certificate/self-signed.ts'
import { postern } from './run.ts'

/** A server that serves each connection with `serve`, on a port of the system’s choice. */
async function serverWith(serve: (socket: Socket) => void | Promise<void>): Promise<string> {
  const server: Server = createServer((socket) => {
    socket.on('error', () => {})
    void serve(socket)
  }).listen(0, '127.0.0.1')
  onTestFinished(() => void server.close())
  await once(server, 'listening')
  return `127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** Answers each line that comes by what `answers` has for its first word. */
function dialogue(socket: Socket, answers: Readonly<Record<string, string>>): void {
  let received = ''
  socket.on('data', (bytes: Buffer) => {
    received += bytes.toString('latin1')
    for (let end = received.indexOf('\n'); end !== -1; end = received.indexOf('\n')) {
      const line = received.slice(0, end).trim()
      received = received.slice(end + 1)
      const [, verb = ''] = /^(?:p\d )?(\w+)/.exec(line) ?? []
      const tag = line.split(' ')[0]
      const answer = answers[verb]?.replaceAll('<tag>', tag ?? '')
      if (answer !== undefined) socket.write(`${answer}\r\n`)
    }
  })
}

async function readHeader(socket: Socket): Promise<string> {
  const [bytes] = (await once(socket, 'data')) as [Buffer]
  return explainHeader(bytes).sourceAddress ?? 'nobody'
}

/** An SMTP server behind a balancer, which names in its EHLO reply whom it serves. */
async function honest(socket: Socket): Promise<void> {
  const client = await readHeader(socket)
  dialogue(socket, { EHLO: `250-mx.example greets [${client}]\r\n250 PIPELINING`, QUIT: '221 bye' })
  socket.write('220 mx.example\r\n')
}

describe('SMTP', () => {
  test.each(['v1', 'v2'])('J1: header %s is sent first, and whom the server saw is told', async (version) => {
    const { status, stdout } = await postern(['probe', 'smtp', await serverWith(honest), '--proxy', version])
    expect(status).toBe(0)
    expect(stdout.replaceAll(/127\.0\.0\.1:\d+/g, '(us)')).toBe(`* connected from (us) to (us)
> PROXY header ${version}, ${version === 'v1' ? 46 : 28} bytes: client 203.0.113.7:45678
< 220 mx.example
> EHLO probe.invalid
< 250-mx.example greets [203.0.113.7]
< 250 PIPELINING
> QUIT
< 221 bye
the server took us for 203.0.113.7: it honours the header
`)
  })

  test('the client of the header is the one that is asked for, IPv6 too', async () => {
    const target = await serverWith(honest)
    const { status, stdout } = await postern(['probe', 'smtp', target, '--proxy', 'v2', '--from', '[2001:db8::7]:1'])
    expect(status).toBe(0)
    expect(stdout).toContain('took us for 2001:db8::7: it honours')
  })

  test('a server that swallows the header without believing it is found out', async () => {
    const target = await serverWith(async (socket) => {
      await readHeader(socket)
      dialogue(socket, { EHLO: '250 mx greets [127.0.0.1]', QUIT: '221 bye' })
      socket.write('220 mx\r\n')
    })
    const { status, stdout } = await postern(['probe', 'smtp', target, '--proxy', 'v2'])
    expect(status).toBe(1)
    expect(stdout).toContain('took us for 127.0.0.1, not for 203.0.113.7')
  })

  test('a greeting that refuses is shown', async () => {
    const target = await serverWith((socket) => void socket.end('421 4.7.0 no\u001b[2J PROXY header\r\n'))
    const { status, stdout } = await postern(['probe', 'smtp', target])
    expect(status).toBe(1)
    expect(stdout).toContain(String.raw`failed: the server refuses: 421 4.7.0 no\x1b[2J PROXY header`)
  })
})

describe('IMAP', () => {
  const answers = { CAPABILITY: '* CAPABILITY IMAP4rev1\r\n<tag> OK done', LOGOUT: '* BYE\r\n<tag> OK bye' }

  test('greets, asks for capabilities and leaves', async () => {
    const target = await serverWith((socket) => {
      dialogue(socket, answers)
      socket.write('* OK ready\r\n')
    })
    const { status, stdout } = await postern(['probe', 'imap', target])
    expect(status).toBe(0)
    expect(stdout).toContain('< * CAPABILITY IMAP4rev1')
    expect(stdout).toContain('the server greeted, and does not say whom it took us for')
  })

  test('a BYE is a refusal', async () => {
    const target = await serverWith((socket) => void socket.end('* BYE not you\r\n'))
    const { status, stdout } = await postern(['probe', 'imap', target])
    expect(status).toBe(1)
    expect(stdout).toContain('the server refuses: * BYE not you')
  })
})

describe('TLS', () => {
  const made = makeSelfSignedCertificate({ hostname: 'mx.example', notBefore: new Date(), validDays: 1 })
  const smtp = { EHLO: '250 mx', QUIT: '221 bye' }

  test('J3: implicit, behind the header', async () => {
    const target = await serverWith(async (socket) => {
      const { key, cert } = await made
      socket.once('readable', () => {
        socket.read(28)
        const secured = new TLSSocket(socket, { isServer: true, key, cert })
        secured.on('error', () => {})
        dialogue(secured, smtp)
        secured.write('220 mx\r\n')
      })
    })
    const { status, stdout } = await postern(['probe', 'smtp', target, '--proxy', 'v2', '--tls', 'implicit'])
    expect(stdout).toMatch(/\* TLSv1\.3 \w+, certificate mx\.example, not trusted by this machine/)
    expect(status).toBe(0)
  })

  test('J5: STARTTLS, after which the server is greeted again', async () => {
    const target = await serverWith((socket) => {
      const onData = (bytes: Buffer): void => {
        if (bytes.toString().startsWith('EHLO')) socket.write('250-mx\r\n250 STARTTLS\r\n')
        if (!bytes.toString().startsWith('STARTTLS')) return
        socket.off('data', onData)
        socket.write('220 go\r\n')
        void made.then((pair) => dialogue(new TLSSocket(socket, { isServer: true, ...pair }), smtp))
      }
      socket.on('data', onData)
      socket.write('220 mx\r\n')
    })
    const { status, stdout } = await postern(['probe', 'smtp', target, '--tls', 'starttls'])
    expect(stdout.match(/> EHLO/g)).toHaveLength(2)
    expect(status).toBe(0)
  })

  test('TL-03: what a server says in the clear behind its go-ahead is not read as if TLS had protected it', async () => {
    const target = await serverWith((socket) => {
      dialogue(socket, { EHLO: '250 mx', STARTTLS: '220 go\r\n250 injected' })
      socket.write('220 mx\r\n')
    })
    const { status, stdout } = await postern(['probe', 'smtp', target, '--tls', 'starttls'])
    expect(status).toBe(1)
    expect(stdout).toContain('sent more in the clear before the handshake')
  })
})

describe('when nothing comes of it', () => {
  test.each([
    ['silence', () => {}, ['--timeout', '300ms'], 69, /said nothing for 300 ms; perhaps it waits for a PROXY header/],
    [
      'silence, with a header',
      () => {},
      ['--timeout', '300ms', '--proxy', 'v1'],
      69,
      /perhaps it waits for a TLS handshake/,
    ],
    [
      'a close',
      (socket: Socket) => void socket.end(),
      [],
      1,
      /closed the connection; perhaps it takes only connections with/,
    ],
    [
      'a close behind the header',
      (socket: Socket) => void socket.end(),
      ['--proxy', 'v2'],
      1,
      /in none of its trusted networks/,
    ],
    [
      'another protocol',
      (socket: Socket) => void socket.write('SSH-2.0-x\r\n'),
      [],
      1,
      /that is no SMTP: "SSH-2\.0-x"/,
    ],
    ['a line without end', (socket: Socket) => void socket.write('2'.repeat(70_000)), [], 1, /no end of line/],
    [
      'a reply without end',
      (socket: Socket) => void socket.write('220-x\r\n'.repeat(300)),
      [],
      1,
      /more than 200 lines/,
    ],
  ])('%s is told with what it may mean', async (_, serve, options, status, says) => {
    const ran = await postern(['probe', 'smtp', await serverWith(serve), ...options])
    expect(ran.status).toBe(status)
    expect(ran.stdout).toMatch(says)
    expect(ran.stderr).toBe('')
  })

  test('nobody listens', async () => {
    const { status, stdout } = await postern(['probe', 'imap', '127.0.0.1:1'])
    expect(status).toBe(69)
    expect(stdout).toBe('failed: connection refused: nobody listens there\n')
  })

  test.each([
    ['no port', ['smtp', '127.0.0.1']],
    ['port 0', ['smtp', '127.0.0.1:0']],
    ['an unknown protocol', ['pop3', '127.0.0.1:110']],
    ['a header version 3', ['smtp', '127.0.0.1:25', '--proxy', 'v3']],
    ['a client without a port', ['smtp', '127.0.0.1:25', '--from', '203.0.113.7']],
    ['a client without a header', ['smtp', '127.0.0.1:25', '--from', '203.0.113.7:45678']],
    ['a wait of zero', ['smtp', '127.0.0.1:25', '--timeout', '0s']],
  ])('%s is a wrong use', async (_, args) => {
    expect(await postern(['probe', ...args])).toMatchObject({ status: 64, stdout: '' })
  })
})
