/*
 * The servers that are measured, each a process of its own: a bare one, the same behind core's front, and the gateway as
 * it ships, with its own acceptor, policies, session and log.
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** One server process, or one and its worker. */
export interface Server extends Ports {
  readonly pid: number
  readonly stop: () => Promise<void>
}

/** Where no header may come, and where one must. */
interface Ports {
  readonly direct: number
  readonly proxied: number
}

/** How long a server may take to start or to stop. */
const patienceMs = 20_000

export function startBare(greeting: string): Promise<Server> {
  return startProgram('bare-program.js', [greeting])
}

/** The rule of the front is that of a server, not of a port: two of them, where the gateway has two listeners. */
export function startFront(greeting: string, mode: 'off' | 'require'): Promise<Server> {
  return startProgram('bare-program.js', [greeting, mode])
}

/** One worker; everything else as it is without a word in the configuration. `info` is what the log has by default. */
export async function startGateway(logLevel: 'info' | 'warn'): Promise<Server> {
  const folder = mkdtempSync(join(tmpdir(), 'postern-bench-'))
  const server = await startProgram('gateway-program.js', [configuration(folder, logLevel)])
  return {
    ...server,
    stop: async () => {
      await server.stop()
      rmSync(folder, { recursive: true })
    },
  }
}

/** Whose mail it is that the load delivers. The hash is that of no password: nobody signs in. */
const account = `[[account]]
name = "bob@example.org"
password = "$argon2id$v=19$m=19456,t=2,p=1$${'A'.repeat(22)}$${'A'.repeat(43)}"
`

function configuration(folder: string, logLevel: string): string {
  const accounts = join(folder, 'accounts.toml')
  writeFileSync(accounts, account, { mode: 0o600 })
  return [
    `[server]\nhostname = "mx.example.org"\nworkers = 1\ndata-dir = ${JSON.stringify(join(folder, 'data'))}\n`,
    listenerTable('direct', 'off'),
    listenerTable('proxied', 'require'),
    `[accounts]\nfile = ${JSON.stringify(accounts)}\n`,
    '[smtp]\nlocal-domains = ["example.org"]\n',
    `[log]\nlevel = "${logLevel}"\n`,
    '[admin]\nbind = "off"\n',
  ].join('\n')
}

function listenerTable(name: string, mode: string): string {
  return (
    `[listener.${name}]\nprotocol = "smtp"\nbind = "127.0.0.1:0"\ntls = "off"\n` +
    `[listener.${name}.proxy]\nmode = "${mode}"\ntrusted-networks = ["127.0.0.0/8"]\n`
  )
}

/** A program of this folder, which tells its ports when it listens. What it prints is read and dropped, as a log is. */
async function startProgram(name: string, args: readonly string[]): Promise<Server> {
  const child = fork(fileURLToPath(new URL(name, import.meta.url)), args, {
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
  })
  child.stdout?.resume()
  const stop = async (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return
    const exit = once(child, 'exit')
    child.kill('SIGTERM')
    const late = setTimeout(() => child.kill('SIGKILL'), patienceMs)
    await exit
    clearTimeout(late)
  }
  const ended = once(child, 'exit').then(([status]) => {
    throw new Error(`${name} ended with ${status} before it listened`)
  })
  try {
    const first = once(child, 'message', { signal: AbortSignal.timeout(patienceMs) })
    const [ports] = (await Promise.race([first, ended])) as [Ports]
    ended.catch(() => undefined)
    return { ...ports, pid: child.pid!, stop }
  } catch (error) {
    await stop()
    throw error
  }
}
