/*
 * Starts and ends the servers that are measured, each a process of its own.
 */
import { fork, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { portsOf } from './listener.ts'
import { treeOf } from './process-tree.ts'

/** A process that serves, and all below it. */
export interface Launched {
  readonly pid: number
  readonly stop: () => Promise<void>
}

/** How long a server may take to start or to stop. */
const patienceMs = 60_000
const lookEveryMs = 25

/**
 * A program of this package, which tells its ports when it listens. What it prints is read and dropped, as a log is.
 *
 * @param program - a compiled module.
 * @returns what it told, beside its process.
 */
export async function launchProgram<Told extends object>(
  program: URL,
  args: readonly string[],
): Promise<Told & Launched> {
  const child = fork(fileURLToPath(program), args, { stdio: ['ignore', 'pipe', 'inherit', 'ipc'] })
  child.stdout?.resume()
  const ended = once(child, 'exit').then(([status]) => {
    throw new Error(`${program.pathname} ended with ${status} before it listened`)
  })
  try {
    const first = once(child, 'message', { signal: AbortSignal.timeout(patienceMs) }).catch((error: unknown) => {
      throw new Error(`${program.pathname} did not listen within ${patienceMs / 1_000} s`, { cause: error })
    })
    const [told] = (await Promise.race([first, ended])) as [Told]
    ended.catch(() => undefined)
    return { ...told, pid: child.pid!, stop: () => stop(child) }
  } catch (error) {
    await stop(child)
    throw error
  }
}

/** Any other server: it listens when the kernel says so. */
export async function launchCommand(
  command: string,
  args: readonly string[],
  port: number,
  options: { readonly cwd?: string; readonly env?: NodeJS.ProcessEnv } = {},
): Promise<Launched> {
  const child = spawn(command, args, { ...options, stdio: ['ignore', 'ignore', 'pipe'] })
  let complaint = ''
  child.stderr.on('data', (bytes: Buffer) => {
    complaint = (complaint + bytes.toString()).slice(-2_000)
  })
  await once(child, 'spawn')
  const deadline = performance.now() + patienceMs
  while (performance.now() < deadline && !hasEnded(child)) {
    if (portsOf(treeOf(child.pid!)).includes(port)) return { pid: child.pid!, stop: () => stop(child) }
    await delay(lookEveryMs)
  }
  await stop(child)
  throw new Error(`${command} did not listen on port ${port}: ${complaint}`)
}

/** A port that nobody listens on now. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

async function stop(child: ChildProcess): Promise<void> {
  if (hasEnded(child)) return
  const exit = once(child, 'exit')
  child.kill('SIGTERM')
  const late = setTimeout(() => child.kill('SIGKILL'), patienceMs)
  await exit
  clearTimeout(late)
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null
}
