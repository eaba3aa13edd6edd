/*
 * The servers that are measured, each a process of its own: a bare one, the same behind core's front, and the gateway as
 * it ships, with its own acceptor, policies, session and log.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { launchProgram, type Launched } from '../server/launch.ts'

/** One server process, or one and its workers. */
export type Server = Ports & Launched

/** Where no header may come, and where one must. */
interface Ports {
  readonly direct: number
  readonly proxied: number
}

export function startBare(greeting: string): Promise<Server> {
  return startProgram('bare-program.js', [greeting])
}

/** The rule of the front is that of a server, not of a port: two of them, where the gateway has two listeners. */
export function startFront(greeting: string, mode: 'off' | 'require'): Promise<Server> {
  return startProgram('bare-program.js', [greeting, mode])
}

/** Everything else is as it is without a word in the configuration. `info` is what the log has by default. */
export async function startGateway(logLevel: 'info' | 'warn', workers: number = 1): Promise<Server> {
  const folder = mkdtempSync(join(tmpdir(), 'postern-bench-'))
  const server = await startProgram('gateway-program.js', [configuration(folder, logLevel, workers)])
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

function configuration(folder: string, logLevel: string, workers: number): string {
  const accounts = join(folder, 'accounts.toml')
  writeFileSync(accounts, account, { mode: 0o600 })
  return [
    `[server]\nhostname = "mx.example.org"\nworkers = ${workers}\ndata-dir = ${JSON.stringify(join(folder, 'data'))}\n`,
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

function startProgram(name: string, args: readonly string[]): Promise<Server> {
  return launchProgram<Ports>(new URL(name, import.meta.url), args)
}
