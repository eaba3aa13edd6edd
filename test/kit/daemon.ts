/* A server of somebody else that a test runs in the foreground: what it says, whether it runs, and how it ends. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { eventually, within } from './patience.ts'
import { start } from './run.ts'

export interface Daemon {
  /** What it wrote to its standard output and error. */
  readonly said: () => string
  /** As `eventually`, and no longer than it runs; what it said, and `excerpt`, is told with a failure. */
  readonly found: <T>(what: string, ask: () => Promise<T | undefined> | T | undefined) => Promise<T>
  /** By SIGTERM, and by SIGKILL when that takes long. */
  readonly stop: () => Promise<void>
}

/** How long a daemon may take to stop by itself. Dovecot does not while a session is open. */
const stopPatienceMs = 4_000

/**
 * @param name - as people call it.
 * @param excerpt - of its log, for the message of a failing test.
 */
export function startDaemon(
  name: string,
  [command, args]: readonly [command: string, args: readonly string[]],
  excerpt: () => readonly string[] = () => [],
): Daemon {
  const child = start(command, args)
  let said = ''
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk: Buffer) => (said += chunk.toString()))
  let isRunning = true
  const ended = new Promise<void>((resolve) => {
    child.once('close', () => {
      isRunning = false
      resolve()
    })
  })
  return {
    said: () => said,
    found: (what, ask) =>
      eventually(what, () => {
        if (!isRunning) throw new Error(`${name} is not running`)
        return ask()
      }).catch((error: unknown) => {
        throw new Error([String(error), said, ...excerpt()].join('\n'))
      }),
    stop: async () => {
      if (isRunning) child.kill('SIGTERM')
      await within(stopPatienceMs, `${name} to stop`, ended).catch(async () => {
        child.kill('SIGKILL')
        await ended
      })
    },
  }
}

/** Whether somebody listens on a port of 127.0.0.1. */
export function listens(port: number): Promise<true | undefined> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('error', () => resolve(undefined))
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
  })
}

/** Lines of a file that may not be there yet. */
export function linesOf(file: string): readonly string[] {
  if (!existsSync(file)) return []
  return readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
}

/** The files of a folder of messages; the first delivery makes it. */
export function messagesIn(folder: string): readonly string[] {
  if (!existsSync(folder)) return []
  return readdirSync(folder).map((name) => readFileSync(join(folder, name), 'latin1'))
}
