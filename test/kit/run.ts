import { spawn, type ChildProcess } from 'node:child_process'
import { afterAll } from 'vitest'
import { usualPatienceMs } from './patience.ts'

export interface Outcome {
  /** null when a signal ended it. */
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface RunOptions {
  /** Written to its standard input, which is then closed. */
  readonly input?: string | Uint8Array
  readonly timeoutMs?: number
  readonly cwd?: string
  /** Added to our own environment. */
  readonly env?: NodeJS.ProcessEnv
}

/** Runs a program to its end and tells how it ended; one that takes too long is killed, and that is an error. */
export async function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  const { input = '', timeoutMs = usualPatienceMs, ...rest } = options
  const child = start(command, args, rest)
  const stdout = collect(child.stdout)
  const stderr = collect(child.stderr)
  // A program may close its input unread, as `openssl s_client` does when the other side hangs up.
  child.stdin?.on('error', () => {})
  child.stdin?.end(input)

  const { promise, resolve, reject } = Promise.withResolvers<Outcome>()
  const timer = setTimeout(() => {
    child.kill('SIGKILL')
    reject(new Error(`${command} took longer than ${timeoutMs} ms\n${stdout()}\n${stderr()}`))
  }, timeoutMs)
  child.once('error', reject)
  child.once('close', (code) => {
    resolve({ code, stdout: stdout(), stderr: stderr() })
  })
  try {
    return await promise
  } finally {
    clearTimeout(timer)
  }
}

const running = new Set<ChildProcess>()
function killAll(): void {
  for (const child of running) child.kill('SIGKILL')
}
// Registered before any hook of the file that imports this, so it runs after them all. It does not run when one of them
// fails; then the end of the process is the last occasion, which Vitest brings about by SIGTERM.
afterAll(killAll)
process.once('exit', killAll)
process.once('SIGTERM', () => {
  killAll()
  process.exit(143)
})

/** A child process that does not outlive the tests of the file. */
export function start(
  command: string,
  args: readonly string[],
  options: Pick<RunOptions, 'cwd' | 'env'> = {},
): ChildProcess {
  const child = spawn(command, args, {
    ...options,
    env: { ...process.env, LC_ALL: 'C', ...options.env },
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  running.add(child)
  child.once('close', () => running.delete(child))
  return child
}

function collect(stream: ChildProcess['stdout']): () => string {
  const chunks: Buffer[] = []
  stream?.on('data', (chunk: Buffer) => chunks.push(chunk))
  return () => Buffer.concat(chunks).toString()
}
