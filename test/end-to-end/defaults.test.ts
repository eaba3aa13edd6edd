// What a newcomer sees: the gateway without a configuration file, and the lines it prints to be tried. Its ports are
// fixed, so it runs in a network of its own where the system lets it, beside any gateway that runs here already.
import { once } from 'node:events'
import { readFileSync, statSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { temporaryFolder } from '../kit/folder.ts'
import { eventually, within } from '../kit/patience.ts'
import { requirePeer, type Peer } from '../kit/peers.ts'
import { run, start, type Outcome } from '../kit/run.ts'

const main = fileURLToPath(new URL('../../packages/gateway/dist/main.js', import.meta.url))
const defaultPorts = [2525, 2526, 2587, 2465, 2143, 2144, 2993, 2080]
const folder = temporaryFolder('defaults')
const demoUser = `"demo@localhost:$(cat ${join(folder, '.postern/demo-password')})"`
const tryConfig = fileURLToPath(new URL('../../examples/haproxy/try.cfg', import.meta.url))
/** Those of HAProxy in that file. */
const tryPorts = [2600, 2601]
const rootless = process.getuid?.() === 0 ? [] : ['--user']

/** A new network has its loopback down: ioctl SIOCSIFFLAGS (0x8914) with IFF_UP and IFF_RUNNING. */
const withLoopback = `import fcntl, os, socket, struct, sys
fcntl.ioctl(socket.socket(), 0x8914, struct.pack("16sh", b"lo", 0x41))
os.execvp(sys.argv[1], sys.argv[1:])`
const ownNetwork = ['unshare', '--net', ...rootless.flatMap((user) => [user, '--map-root-user'])]
const inOwnNetwork = [...ownNetwork, 'python3', '-c', withLoopback]

let pid = 0
let hasOwnNetwork = false
let printed = ''
let log = ''
let stop: (() => Promise<number | null>) | undefined

beforeAll(async () => {
  requirePeer('python3')
  hasOwnNetwork = await runs([...inOwnNetwork, 'true'])
  if (!hasOwnNetwork) for (const port of [...defaultPorts, ...tryPorts]) await requireFree(port)
  const words: readonly string[] = [...(hasOwnNetwork ? inOwnNetwork : []), process.execPath, main, 'serve']
  const [program = '', ...args] = words
  const child = start(program, args, { cwd: folder })
  child.stdout?.on('data', (chunk: Buffer) => (log += chunk.toString()))
  child.stderr?.on('data', (chunk: Buffer) => (printed += chunk.toString()))
  pid = child.pid ?? 0
  stop = async () => {
    child.kill('SIGTERM')
    if (child.exitCode === null) await within(30_000, 'the gateway to stop', once(child, 'close'))
    return child.exitCode
  }
  await eventually('the lines to try', () => {
    if (child.exitCode !== null) throw new Error(`it ended with ${child.exitCode}:\n${printed}${log}`)
    return printed.includes('The password of') ? true : undefined
  })
})
afterAll(async () => {
  if (stop === undefined) return
  const code = await stop()
  if (code !== 0) throw new Error(`it ended with ${code}:\n${log}`)
})

async function runs([program = '', ...args]: readonly string[]): Promise<boolean> {
  return run(program, args).then(
    ({ code }) => code === 0,
    () => false,
  )
}

async function requireFree(port: number): Promise<void> {
  const server = createServer()
  server.listen(port, '127.0.0.1')
  await once(server, 'listening').catch((cause: unknown) => {
    const mend = 'this system gives no network of its own: stop the gateway that runs here'
    throw new Error(`port ${port} is taken, and ${mend}`, { cause })
  })
  server.close()
  await once(server, 'close')
}

/** Runs a shell command on the gateway's network. */
async function shell(peers: readonly Peer[], command: string): Promise<Outcome> {
  for (const name of peers) requirePeer(name)
  if (!hasOwnNetwork) return run('sh', ['-c', command])
  const user = rootless.flatMap((option) => [option, '--preserve-credentials'])
  return run('nsenter', ['--target', String(pid), '--net', ...user, 'sh', '-c', command])
}

/** The commands that were printed, whole, as they would be pasted. */
function printedCommand(program: string, containing = ''): string {
  const blocks = printed.replaceAll('\\\n', ' ').split('\n')
  const found = blocks.find((line) => line.trim().startsWith(program) && line.includes(containing))
  if (found === undefined) throw new Error(`no ${program} was printed:\n${printed}`)
  return found.trim()
}

test('J8, S15: what is printed for nc is greeted', async () => {
  const command = printedCommand('printf')
  expect(command).toContain(String.raw`'PROXY TCP4 203.0.113.7 127.0.0.1 45678 25\r\n'`)
  // The terminal of a person stays open; here nc goes when it has heard something.
  const { stdout } = await shell(['nc'], command.replace('nc ', 'nc -W 1 '))
  expect(stdout).toMatch(/^220 localhost /)
})

test('C2, S19: what is printed for swaks and curl delivers a message and reads it; Received names client and balancer', async () => {
  const sent = await shell(['swaks'], printedCommand('swaks'))
  expect(sent.stdout).toMatch(/<- {2}250 .*\n.*QUIT/)
  expect(sent).toMatchObject({ code: 0 })

  const status = await shell(['curl'], printedCommand('curl', 'STATUS'))
  expect(status.stdout).toMatch(/\* STATUS "?INBOX"? \(MESSAGES 1\)/)
  expect(status).toMatchObject({ code: 0 })

  const read = await shell(['curl'], printedCommand('curl', '--haproxy-protocol'))
  expect(read).toMatchObject({ code: 0 })
  const received = /^Received: (?:.*\r\n[ \t])*.*\r\n/m.exec(read.stdout)?.[0] ?? ''
  expect(received).toContain('[203.0.113.7]')
  expect(received).toContain('127.0.0.1')
})

test('C2: the README reads it with curl over STARTTLS on 2143', async () => {
  const read = await shell(
    ['curl'],
    `curl -s --insecure --ssl-reqd --user ${demoUser} 'imap://127.0.0.1:2143/INBOX;MAILINDEX=1'`,
  )
  expect(read.stdout).toContain('203.0.113.7')
})

test('J1, C2: examples/haproxy/try.cfg, as the README has it: a client through a real HAProxy is named', async () => {
  const pidFile = join(folder, 'haproxy.pid')
  const haproxy = await shell(['haproxy'], `haproxy -D -p ${pidFile} -f ${tryConfig}`)
  expect(haproxy).toMatchObject({ code: 0 })
  try {
    const message = '--from you@example.org --to demo@localhost --header "Subject: through HAProxy"'
    const sent = await shell(['swaks'], `swaks --server 127.0.0.1 --port 2600 --local-interface 127.0.0.9 ${message}`)
    expect(sent).toMatchObject({ code: 0 })
    const read = await shell(
      ['curl'],
      `curl -s --insecure --ssl-reqd --interface 127.0.0.10 --user ${demoUser} 'imap://127.0.0.1:2601/INBOX;MAILINDEX=*'`,
    )
    expect(read.stdout).toContain('Subject: through HAProxy')
    expect(/^Received: (?:.*\r\n[ \t])*.*\r\n/m.exec(read.stdout)?.[0]).toContain('[127.0.0.9]')
    await eventually('the client of IMAP in the log', () => log.includes('"client":"127.0.0.10"') || undefined)
  } finally {
    for (const each of readFileSync(pidFile, 'utf8').trim().split('\n')) process.kill(Number(each), 'SIGTERM')
  }
})

test.each([
  ['2525 smtp, no header', 2525, /^220 /],
  ['2587 submission, no header', 2587, /^220 /],
  ['2143 imap, no header', 2143, /^\* OK /],
])('%s', async (_, port, greeting) => {
  const { stdout } = await shell(['nc'], `nc -W 1 127.0.0.1 ${port} </dev/null`)
  expect(stdout).toMatch(greeting)
})

test.each([
  ['2465 submission, implicit TLS', 2465, /^220 /, 'QUIT'],
  ['2993 imap, implicit TLS', 2993, /^\* OK /, 'a LOGOUT'],
])('%s', async (_, port, greeting, goodbye) => {
  const { stdout } = await shell(
    ['openssl'],
    `echo '${goodbye}' | openssl s_client -connect 127.0.0.1:${port} -quiet -crlf`,
  )
  expect(stdout).toMatch(greeting)
})

test('nothing listens beyond loopback, and what it made is for its owner only', () => {
  // proc(5): local address and port in hexadecimal, and state 0A for a socket that listens.
  const sockets = ['tcp', 'tcp6'].flatMap((file) => readFileSync(`/proc/${pid}/net/${file}`, 'latin1').split('\n'))
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
    expect(statSync(join(data, file)).mode & 0o077).toBe(0)
  }
  const password = readFileSync(join(data, 'demo-password'), 'utf8').trim()
  expect(log).not.toContain(password)
  expect(printed).not.toContain(password)
})
