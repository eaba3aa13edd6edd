import { writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { startDaemon } from './daemon.ts'
import { temporaryFolder } from './folder.ts'
import { eventually } from './patience.ts'
import { requirePeer } from './peers.ts'

export interface HaproxyServer {
  readonly backend: string
  readonly server: string
  /** `UP`, `DOWN`, `no check` … as HAProxy reports it. */
  readonly status: string
  /** How the last check ended: `L4OK`, `L7OK`, `L7TOUT` … */
  readonly check: string
}

export interface Haproxy {
  readonly servers: () => Promise<readonly HaproxyServer[]>
  /** Waits until HAProxy calls the server UP after a check that passed, and tells what it saw. */
  readonly waitUntilUp: (backend: string, server: string) => Promise<HaproxyServer>
  readonly stop: () => Promise<void>
}

/** Runs HAProxy with this configuration, to which only a statistics socket is added. */
export async function startHaproxy(configuration: string): Promise<Haproxy> {
  requirePeer('haproxy')
  const folder = temporaryFolder('haproxy')
  const socketPath = join(folder, 'stats.sock')
  const file = join(folder, 'haproxy.cfg')
  writeFileSync(file, `global\n  stats socket ${socketPath} mode 600 level admin\n\n${configuration}\n`)

  const haproxy = startDaemon('HAProxy', ['haproxy', ['-f', file, '-db']])
  await haproxy.found('HAProxy to answer on its statistics socket', () =>
    askStatistics(socketPath, 'show info').catch(() => undefined),
  )

  const servers = async (): Promise<readonly HaproxyServer[]> =>
    readServers(await askStatistics(socketPath, 'show stat'))
  return {
    servers,
    waitUntilUp: (backend, server) => {
      let last = ''
      return eventually(`HAProxy to call ${backend}/${server} UP`, async () => {
        const all = await servers()
        const one = all.find((each) => each.backend === backend && each.server === server)
        if (one !== undefined) last = `${one.status} ${one.check}`
        // `UP` alone is also how a server starts out, before its first check.
        return one?.status === 'UP' && /^L[467]OK$/.test(one.check) ? one : undefined
      }).catch((error: unknown) => {
        throw new Error(`${String(error)}; last seen: ${last}`)
      })
    },
    stop: () => haproxy.stop(),
  }
}

function askStatistics(path: string, command: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path })
    let text = ''
    socket.on('connect', () => socket.write(`${command}\n`))
    socket.on('data', (chunk: Buffer) => (text += chunk.toString()))
    socket.on('end', () => {
      resolve(text)
    })
    socket.on('error', reject)
  })
}

/** HAProxy management guide, section 9.1: CSV with a header line that starts with `# `. */
function readServers(csv: string): readonly HaproxyServer[] {
  const [head = '', ...rows] = csv.split('\n').filter((line) => line !== '')
  const names = head.replace(/^# /, '').split(',')
  return rows
    .map((row) => {
      const cells = row.split(',')
      const cell = (name: string): string => cells[names.indexOf(name)] ?? ''
      return {
        backend: cell('pxname'),
        server: cell('svname'),
        status: cell('status'),
        check: cell('check_status').replace(/^\* /, ''),
      }
    })
    .filter(({ server }) => server !== 'FRONTEND' && server !== 'BACKEND')
}
