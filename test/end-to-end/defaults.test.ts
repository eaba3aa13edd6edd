// What a newcomer sees: the gateway without a configuration file, and the lines it prints to be tried. The ports are the
// defaults themselves, so these must be free on the machine that runs this test.
import { once } from 'node:events'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Dialogue } from '../kit/dialogue.ts'
import { temporaryFolder } from '../kit/folder.ts'
import { eventually, within } from '../kit/patience.ts'
import { peer, requirePeer } from '../kit/peers.ts'
import { run, start } from '../kit/run.ts'

const main = fileURLToPath(new URL('../../packages/gateway/dist/main.js', import.meta.url))
const defaultPorts = [2525, 2526, 2587, 2465, 2143, 2144, 2993, 2080]
const folder = temporaryFolder('defaults')

let printed = ''
let log = ''
let stop: () => Promise<number | null>

beforeAll(async () => {
  for (const port of defaultPorts) await requireFree(port)
  const child = start(process.execPath, [main, 'serve'], { cwd: folder })
  child.stdout?.on('data', (chunk: Buffer) => (log += chunk.toString()))
  child.stderr?.on('data', (chunk: Buffer) => (printed += chunk.toString()))
  stop = async () => {
    child.kill('SIGTERM')
    if (child.exitCode === null) await within(20_000, 'the gateway to stop', once(child, 'close'))
    return child.exitCode
  }
  await eventually('the lines to try', () => {
    if (child.exitCode !== null) throw new Error(`it ended with ${child.exitCode}:\n${printed}${log}`)
    return printed.includes('The password of') ? true : undefined
  })
})
afterAll(async () => {
  const code = await stop?.()
  if (code !== 0) throw new Error(`it ended with ${code}:\n${log}`)
})

async function requireFree(port: number): Promise<void> {
  const server = createServer()
  server.listen(port, '127.0.0.1')
  await Promise.race([
    once(server, 'listening'),
    once(server, 'error').then(() => {
      throw new Error(
        `port ${port} is taken: the default ports must be free for this test (is a gateway running here?)`,
      )
    }),
  ])
  server.close()
  await once(server, 'close')
}

/** The commands that were printed, whole, as they would be pasted. */
function printedCommand(program: string, containing = ''): string {
  const blocks = printed.replaceAll('\\\n', ' ').split('\n')
  const found = blocks.find((line) => line.trim().startsWith(program) && line.includes(containing))
  if (found === undefined) throw new Error(`no ${program} was printed:\n${printed}`)
  return found.trim()
}

test('J8, S15: what is printed for nc is greeted', async () => {
  requirePeer('nc')
  const command = printedCommand('printf')
  expect(command).toContain(String.raw`'PROXY TCP4 203.0.113.7 127.0.0.1 45678 25\r\n'`)
  // The terminal of a person stays open; here nc is told when to go.
  const { stdout } = await run('sh', ['-c', command.replace('nc ', 'nc -q 1 ')])
  expect(stdout).toMatch(/^220 localhost /)
})

test('C2, S19: what is printed for swaks and curl delivers a message and reads it; Received names client and balancer', async () => {
  requirePeer('swaks')
  requirePeer('curl')
  const sent = await run('sh', ['-c', printedCommand('swaks')])
  expect(sent.stdout).toMatch(/<- {2}250 .*\n.*QUIT/)
  expect(sent).toMatchObject({ code: 0 })

  const status = await run('sh', ['-c', printedCommand('curl', 'STATUS')])
  expect(status.stdout).toMatch(/\* STATUS "?INBOX"? \(MESSAGES 1\)/)
  expect(status).toMatchObject({ code: 0 })

  const read = await run('sh', ['-c', printedCommand('curl', '--haproxy-protocol')])
  expect(read).toMatchObject({ code: 0 })
  const received = /^Received: (?:.*\r\n[ \t])*.*\r\n/m.exec(read.stdout)?.[0] ?? ''
  expect(received).toContain('[203.0.113.7]')
  expect(received).toContain('127.0.0.1')
})

test('C2: the README reads it with curl over STARTTLS on 2143', async () => {
  const password = readFileSync(join(folder, '.postern/demo-password'), 'utf8').trim()
  const user = ['--user', `demo@localhost:${password}`]
  const read = await peer('curl', [
    '-s',
    '--insecure',
    '--ssl-reqd',
    ...user,
    'imap://127.0.0.1:2143/INBOX;MAILINDEX=1',
  ])
  expect(read.stdout).toContain('203.0.113.7')
})

test.each([
  ['2525 smtp, no header', 2525, /^220 /],
  ['2587 submission, no header', 2587, /^220 /],
  ['2143 imap, no header', 2143, /^\* OK /],
])('%s', async (_, port, greeting) => {
  const client = await Dialogue.connect(port)
  expect(await client.line()).toMatch(greeting)
  client.destroy()
})

test.each([
  ['2465 submission, implicit TLS', 2465, /^220 /],
  ['2993 imap, implicit TLS', 2993, /^\* OK /],
])('%s', async (_, port, greeting) => {
  const client = await Dialogue.connect(port)
  await client.startTls('localhost')
  expect(await client.line()).toMatch(greeting)
  client.destroy()
})

test('nothing listens beyond loopback, and what it made is for its owner only', () => {
  // proc(5): local address and port in hexadecimal, and state 0A for a socket that listens.
  const sockets = ['/proc/net/tcp', '/proc/net/tcp6'].flatMap((file) => readFileSync(file, 'latin1').split('\n'))
  const listening = sockets
    .map((line) => line.trim().split(/\s+/))
    .filter(([, , , state]) => state === '0A')
    .map(([, local = '']) => local.split(':'))
  for (const port of defaultPorts) {
    const addresses = listening.filter(([, hex]) => Number.parseInt(hex ?? '', 16) === port).map(([address]) => address)
    expect(new Set(addresses)).toEqual(new Set(['0100007F']))
  }
  const data = join(folder, '.postern')
  expect(statSync(data).mode & 0o777).toBe(0o700)
  for (const file of ['key.pem', 'demo-password', 'accounts.toml']) {
    expect(existsSync(join(data, file))).toBe(true)
    expect(statSync(join(data, file)).mode & 0o077).toBe(0)
  }
  const password = readFileSync(join(data, 'demo-password'), 'utf8').trim()
  expect(log).not.toContain(password)
  expect(printed).not.toContain(password)
})
