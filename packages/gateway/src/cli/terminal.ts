import type { Readable, Writable } from 'node:stream'

/** What a command may touch of the process that runs it; tests bring their own. */
export interface Terminal {
  readonly stdin: Readable & { readonly isTTY?: boolean; setRawMode?(isRaw: boolean): unknown }
  readonly stdout: Writable
  readonly stderr: Writable
  /** Relative file names start here. */
  readonly cwd: string
}

/** Writes, and waits while the reader is behind, so that output of any length needs little memory. */
export async function print(stream: Writable, text: string): Promise<void> {
  if (stream.destroyed || stream.write(text)) return
  await new Promise<void>((resolve) => {
    const settle = (): void => {
      stream.off('drain', settle)
      stream.off('close', settle)
      resolve()
    }
    stream.on('drain', settle)
    stream.on('close', settle)
  })
}

/** An expected failure of a command: a sentence for people, and its exit status. It shows no stack. */
export class CommandFailure extends Error {
  override readonly name = 'CommandFailure'
  readonly status: number

  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}
