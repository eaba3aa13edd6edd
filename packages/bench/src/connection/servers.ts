/*
 * The servers that are measured, each a process of its own: a bare one, the same behind core's front, and the gateway as
 * it ships, with its own acceptor, policies, session and log.
 */
import { fork, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

/** One server process, or one and its workers. */
export interface Server {
  readonly pid: number
  /** Where no header may come, and where one must. */
  readonly direct: number
  readonly proxied: number
  readonly stop: () => Promise<void>
}

/** How long a server may take to start or to stop. */
const patienceMs = 20_000

export async function startBare(greeting: string): Promise<Server> {
  const one = await startProgram([greeting])
  return { ...one, direct: one.port, proxied: one.port }
}

/** The rule of the front is that of a server, not of a port: two of them, where the gateway has two listeners. */
export async function startFront(greeting: string, mode: 'off' | 'require'): Promise<Server> {
  const one = await startProgram([greeting, mode])
  return { ...one, direct: one.port, proxied: one.port }
}

async function startProgram(
  args: readonly string[],
): Promise<{ readonly pid: number; readonly port: number; readonly stop: () => Promise<void> }> {
  const child = fork(fileURLToPath(new URL('bare-program.js', import.meta.url)), args)
  const [message] = (await once(child, 'message', { signal: AbortSignal.timeout(patienceMs) })) as [{ port: number }]
  return { pid: child.pid!, port: message.port, stop: () => end(child) }
}

/** One worker; everything else as it is without a word in the configuration, its log included. */
export async function startGateway(): Promise<Server> {
  const folder = mkdtempSync(join(tmpdir(), 'postern-bench-'))
  const config = join(folder, 'postern.toml')
  writeFileSync(config, configuration(folder))
  const manifest = new URL(import.meta.resolve('@postern/gateway/package.json'))
  const { bin } = JSON.parse(readFileSync(manifest, 'utf8')) as { readonly bin: { readonly postern: string } }
  const command = fileURLToPath(new URL(bin.postern, manifest))
  const child = spawn(process.execPath, [command, 'serve', '-c', config], { stdio: ['ignore', 'pipe', 'inherit'] })
  const ports = await listeningPorts(child)
  return {
    pid: child.pid!,
    direct: ports.get('direct')!,
    proxied: ports.get('proxied')!,
    stop: async () => {
      await end(child)
      rmSync(folder, { recursive: true })
    },
  }
}

function configuration(folder: string): string {
  return [
    `[server]\nhostname = "mx.example.org"\nworkers = 1\ndata-dir = ${JSON.stringify(join(folder, 'data'))}\n`,
    listenerTable('direct', 'off'),
    listenerTable('proxied', 'require'),
    '[admin]\nbind = "off"\n',
  ].join('\n')
}

function listenerTable(name: string, mode: string): string {
  return (
    `[listener.${name}]\nprotocol = "smtp"\nbind = "127.0.0.1:0"\ntls = "off"\n` +
    `[listener.${name}.proxy]\nmode = "${mode}"\ntrusted-networks = ["127.0.0.0/8"]\n`
  )
}

/** Reads the log until the gateway says where it listens; the rest of the log is read and dropped. */
async function listeningPorts(child: ChildProcess): Promise<ReadonlyMap<string, number>> {
  const lines = createInterface({ input: child.stdout! })
  const signal = AbortSignal.timeout(patienceMs)
  const ready = new Promise<ReadonlyMap<string, number>>((resolve, reject) => {
    signal.addEventListener('abort', () => reject(new Error('the gateway did not start in time')), { once: true })
    child.once('exit', (code) => reject(new Error(`the gateway ended with ${code} before it was ready`)))
    lines.on('line', (line) => {
      if (!line.includes('"gateway.ready"')) return
      const { listeners } = JSON.parse(line) as { listeners: readonly { name: string; port: number }[] }
      resolve(new Map(listeners.map(({ name, port }) => [name, port])))
    })
  })
  const ports = await ready
  lines.close()
  child.stdout!.resume()
  return ports
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exit = once(child, 'exit')
  child.kill('SIGTERM')
  const late = setTimeout(() => child.kill('SIGKILL'), patienceMs)
  await exit
  clearTimeout(late)
}
