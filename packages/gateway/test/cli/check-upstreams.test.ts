import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { temporaryDirectory } from '../config/temporary-directory.ts'
import { postern, type Ran } from './run.ts'

/** A server that replies by the first word of what it hears. */
async function backend(greeting: string, replies: Readonly<Record<string, string>>): Promise<number> {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.write(greeting)
    socket.on('data', (bytes) => {
      const words = bytes.toString('latin1')
      for (const [start, reply] of Object.entries(replies)) if (words.startsWith(start)) socket.write(reply)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  return (server.address() as AddressInfo).port
}

async function check(tables: string, ...args: readonly string[]): Promise<Ran> {
  const cwd = await temporaryDirectory()
  const listener = '[listener.mx]\nprotocol = "smtp"\nbind = "127.0.0.1:2525"\ntls = "off"\n'
  await writeFile(join(cwd, 'postern.toml'), `${listener}${tables}`)
  return postern(['check', '--upstreams', '-c', 'postern.toml', ...args], { cwd })
}

const smtp = {
  EHLO: '250-backend.example\r\n250-SIZE 1000\r\n250 XCLIENT ADDR PORT\r\n',
  MAIL: '250 ok\r\n',
  'RCPT TO:<postmaster>': '250 ok\r\n',
  'RCPT TO:<ann@a.example>': '550 nobody\r\n',
  DATA: '354 go\r\n',
  Received: '554 5.4.6 a loop\r\n',
  QUIT: '221 bye\r\n',
}

test('each backend is told with what it offers, what it sees, and what a bare line feed does', async () => {
  const [ending, port] = [
    await backend('220 hello\r\n', smtp),
    await backend('220 hello\r\n', { ...smtp, Received: '' }),
  ]
  const { status, stdout } = await check(`
[upstream.inside]
protocol = "smtp"
backends = ["127.0.0.1:${ending}", "127.0.0.1:${port}"]
announce = "xclient"
[[route]]
to = "inside"`)
  expect(status).toBe(0)
  expect(stdout.split('\n').slice(2)).toEqual([
    'upstream inside: smtp, round-robin; TLS off; announces the client by xclient',
    expect.stringMatching(new RegExp(`^  127\\.0\\.0\\.1:${ending}: answers in \\d+ ms, in the clear$`)),
    '    offers: SIZE 1000, XCLIENT ADDR PORT',
    '    sees of the client: by XCLIENT ADDR PORT',
    expect.stringMatching(/a bare line feed: ENDS A MESSAGE: .* \(554 5\.4\.6 a loop\)$/),
    expect.stringMatching(new RegExp(`^  127\\.0\\.0\\.1:${port}: answers in \\d+ ms, in the clear$`)),
    '    offers: SIZE 1000, XCLIENT ADDR PORT',
    '    sees of the client: by XCLIENT ADDR PORT',
    '    a bare line feed: does not end a message (it waited for the true end)',
    '',
  ])
})

test('IMAP is looked at, too; what cannot be used makes it fail', async () => {
  const imap = await backend('* OK ready\r\n', { 'C CAPABILITY': '* CAPABILITY IMAP4rev1 ID\r\nC OK\r\n' })
  const bye = await backend('* BYE not now\r\n', {})
  const { status, stdout } = await check(`
[upstream.boxes]
protocol = "imap"
backends = ["127.0.0.1:${imap}", "127.0.0.1:${bye}", "127.0.0.1:1"]
announce = "imap-id"
credentials-in-clear = true
[[route]]
to = "boxes"`)
  expect(status).toBe(1)
  expect(stdout).toContain('    offers: IMAP4REV1, ID\n    sees of the client: its address and port, by ID')
  expect(stdout).toContain(`  127.0.0.1:${bye}: cannot be used: it greeted with BYE not now\n`)
  expect(stdout).toContain('  127.0.0.1:1: cannot be used: ECONNREFUSED\n')
})

test('--recipient names whose mail a backend takes', async () => {
  const port = await backend('220 hello\r\n', smtp)
  const tables = `[upstream.inside]\nprotocol = "smtp"\nbackends = ["127.0.0.1:${port}"]\n[[route]]\nto = "inside"`
  const { status, stdout } = await check(tables, '--recipient', 'ann@a.example')
  expect(status).toBe(0)
  expect(stdout).toContain(
    'could not be tried; --recipient names somebody whose mail it takes (RCPT TO:<ann@a.example>: 550',
  )
})

test('without upstreams there is nothing to look at', async () => {
  expect(await check('')).toMatchObject({ status: 0, stdout: expect.stringContaining('no upstream is configured') })
})
