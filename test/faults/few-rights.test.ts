// HD-01, OP-09: a gateway on low ports that may do nothing else, and that opens no door to a debugger.
import { chmodSync, chownSync, globSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { createServer } from 'node:net'
import { dirname } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { listener } from '../kit/configuration.ts'
import { Dialogue } from '../kit/dialogue.ts'
import { temporaryFolder } from '../kit/folder.ts'
import { prepareFolder, startGateway, type Gateway } from '../kit/gateway.ts'
import { freePorts } from '../kit/ports.ts'

const nobody = 65_534
const isRoot = process.getuid?.() === 0
const port = await freeLowPort()
let gateway: Gateway

/** Ports below 1024 are for who has the right. */
async function freeLowPort(): Promise<number> {
  for (let candidate = 1_023; candidate > 600; candidate--) {
    const server = createServer()
    const isFree = await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false))
      server.listen(candidate, '127.0.0.1', () => resolve(true))
    })
    if (isFree) await new Promise((resolve) => server.close(resolve))
    if (isFree || !isRoot) return candidate
  }
  throw new Error('no low port is free')
}

beforeAll(async () => {
  if (!isRoot) return
  const { admin } = await freePorts('admin')
  const folder = temporaryFolder('few-rights')
  const options = {
    config: listener('mx', { protocol: 'smtp', bind: port, mode: 'off' }),
    adminPort: admin,
    folder,
  }
  await prepareFolder(options)
  for (const path of [folder, ...globSync(`${folder}/**`)]) chownSync(path, nobody, nobody)
  chmodSync(folder, 0o700)
  chmodSync(dirname(folder), 0o755)
  const only = 'net_bind_service'
  gateway = await startGateway({
    ...options,
    accounts: [],
    under: [
      'setpriv',
      `--reuid=${nobody}`,
      `--regid=${nobody}`,
      '--clear-groups',
      `--inh-caps=-all,+${only}`,
      `--ambient-caps=-all,+${only}`,
      `--bounding-set=-all,+${only}`,
      '--no-new-privs',
    ],
  })
})
afterAll(() => gateway?.stop())

/** The line of `/proc/PID/status` with this name. */
function statusOf(pid: number, name: string): string | undefined {
  return new RegExp(String.raw`^${name}:\s+(.*)$`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
}

test.runIf(isRoot)('HD-01: it serves a low port as nobody, with that one right', async () => {
  const client = await Dialogue.connect(port)
  expect(await client.line()).toMatch(/^220 /)
  client.destroy()
  for (const pid of [gateway.pid, ...gateway.workers()]) {
    expect(statusOf(pid, 'Uid')?.split('\t')).toEqual(Array.from({ length: 4 }, () => `${nobody}`))
    // Bit 10 is CAP_NET_BIND_SERVICE.
    expect(Number.parseInt(statusOf(pid, 'CapEff') ?? '', 16)).toBe(1 << 10)
    expect(Number.parseInt(statusOf(pid, 'CapBnd') ?? '', 16)).toBe(1 << 10)
    expect(statusOf(pid, 'NoNewPrivs')).toBe('1')
  }
})

test.runIf(isRoot)('OP-09: no signal opens a debugger in a worker', async () => {
  for (const worker of gateway.workers()) {
    const before = listenersOf(worker)
    expect(before.length).toBeGreaterThan(0)
    process.kill(worker, 'SIGUSR1')
    // Whichever worker greets: several connections, so that each of them has turned since.
    for (let n = 0; n < 8; n++) {
      const client = await Dialogue.connect(port)
      expect(await client.line()).toMatch(/^220 /)
      client.destroy()
    }
    expect(listenersOf(worker)).toEqual(before)
  }
})

/** `proc(5)`: sockets of this process that others can connect to, as addresses in hexadecimal. */
function listenersOf(pid: number): readonly string[] {
  const sockets = new Set(
    readdirSync(`/proc/${pid}/fd`).map((fd) => /^socket:\[(\d+)\]$/.exec(linkOf(`/proc/${pid}/fd/${fd}`))?.[1]),
  )
  return readFileSync('/proc/net/tcp', 'utf8')
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter(([, , , state, , , , , , inode]) => state === '0A' && sockets.has(inode))
    .map(([, local = '']) => local)
}

/** A descriptor may be closed meanwhile. */
function linkOf(path: string): string {
  try {
    return readlinkSync(path)
  } catch {
    return ''
  }
}
