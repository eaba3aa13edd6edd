/*
 * Starts a server to be measured, and finds out where it listens, without its help.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { UsageError } from '../command.ts'
import { portsOf } from '../server/listener.ts'
import { canWatch, treeOf } from '../server/process-tree.ts'

export interface StartedServer {
  /** The target, with the port where the server listens. */
  readonly url: string
  readonly pid: number
  readonly stop: () => Promise<void>
}

/** How long a server may take until it listens, and then to end. */
const patienceMs = 30_000
const lookEveryMs = 50

/**
 * Starts a command and waits until it, or a process below it, listens.
 *
 * @param url - its port is the one that is waited for; without one the server's lowest is taken.
 */
export async function startOnPort(url: string, [program = '', ...args]: readonly string[]): Promise<StartedServer> {
  if (!canWatch)
    throw new UsageError('--on-port looks into /proc, which only Linux has: start the server and give its port')
  const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'inherit'] })
  await once(child, 'spawn').catch((error: unknown) => {
    throw new UsageError(`${program} cannot be started: ${(error as Error).message}`)
  })
  const ended = (): boolean => child.exitCode !== null || child.signalCode !== null
  const stop = async (): Promise<void> => {
    if (ended()) return
    const exit = once(child, 'exit')
    child.kill('SIGTERM')
    const late = setTimeout(() => child.kill('SIGKILL'), patienceMs)
    await exit
    clearTimeout(late)
  }
  const asked = URL.parse(url)?.port ?? ''
  const deadline = performance.now() + patienceMs
  while (performance.now() < deadline && !ended()) {
    const ports = portsOf(treeOf(child.pid!))
    const port = asked === '' ? ports[0] : ports.find((each) => each === Number(asked))
    if (port !== undefined) return { url: withPort(url, port), pid: child.pid!, stop }
    await delay(lookEveryMs)
  }
  const why = ended() ? `ended with ${child.exitCode ?? child.signalCode}` : `did not within ${patienceMs / 1_000} s`
  await stop()
  throw new UsageError(`${program} was to listen${asked === '' ? '' : ` on port ${asked}`}, but ${why}`)
}

function withPort(url: string, port: number): string {
  // A URL of a scheme that browsers do not know keeps its port as text.
  return url.replace(/^([a-z]+:\/\/(?:[^@/]*@)?(?:\[[^\]]*\]|[^:/]*))(?::\d*)?(.*)$/, `$1:${port}$2`)
}
