import { PassThrough, Readable, Writable } from 'node:stream'
import { runCommandLine } from '../../src/cli/program.ts'

export interface Ran {
  readonly status: number
  readonly stdout: string
  readonly stderr: string
}

export interface RunOptions {
  /** What stands on standard input: nothing, when absent. */
  readonly stdin?: Iterable<string | Buffer>
  readonly cwd?: string
}

/** Runs a command line in this process. */
export async function postern(args: readonly string[], { stdin = [], cwd = '/' }: RunOptions = {}): Promise<Ran> {
  const stdout = new Collector()
  const stderr = new Collector()
  const status = await runCommandLine(args, { stdin: Readable.from(stdin), stdout, stderr, cwd })
  return { status, stdout: stdout.text, stderr: stderr.text }
}

/** Runs a command line on something like a terminal, and types `keys` when `prompt` has been shown, one by one. */
export async function posternOnTerminal(
  args: readonly string[],
  typed: readonly { readonly prompt: string; readonly keys: string }[],
  cwd: string,
): Promise<Ran & { readonly rawModes: readonly boolean[] }> {
  const rawModes: boolean[] = []
  const stdin = Object.assign(new PassThrough(), { isTTY: true, setRawMode: (isRaw: boolean) => rawModes.push(isRaw) })
  const stdout = new Collector()
  const waiting = [...typed]
  const stderr = new Collector((text) => {
    if (waiting[0] === undefined || !text.includes(waiting[0].prompt)) return
    const { keys } = waiting.shift()!
    setImmediate(() => stdin.write(keys))
  })
  const status = await runCommandLine(args, { stdin, stdout, stderr, cwd })
  return { status, stdout: stdout.text, stderr: stderr.text, rawModes }
}

class Collector extends Writable {
  text = ''
  readonly #onText: (text: string) => void

  constructor(onText: (text: string) => void = () => {}) {
    super({ decodeStrings: false, highWaterMark: 1024 })
    this.#onText = onText
  }

  override _write(chunk: string | Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.text += chunk.toString()
    this.#onText(chunk.toString())
    done()
  }
}
