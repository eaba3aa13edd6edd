import { constants, open } from 'node:fs/promises'
import { limits } from '../limits.ts'

export type FileReading =
  | { readonly ok: true; readonly text: string; readonly mode: number }
  | { readonly ok: false; readonly reason: string; readonly isMissing: boolean }

/** Reads a text file that an operator named. A refusal is a value: the name may be wrong, or the rights. */
export async function readTextFile(file: string): Promise<FileReading> {
  try {
    // A named pipe would block the open, and a device never ends.
    await using handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK)
    const stats = await handle.stat()
    const { size, mode } = stats
    if (!stats.isFile()) {
      return { ok: false, isMissing: false, reason: stats.isDirectory() ? 'a directory' : 'not a regular file' }
    }
    if (size > limits.maxConfigFileBytes) {
      return {
        ok: false,
        isMissing: false,
        reason: `${size} bytes are too many; ${limits.maxConfigFileBytes} is the most`,
      }
    }
    const bytes = await handle.readFile()
    return { ok: true, mode, text: new TextDecoder('utf-8', { fatal: true }).decode(bytes) }
  } catch (error) {
    return { ok: false, isMissing: (error as NodeJS.ErrnoException).code === 'ENOENT', reason: reasonOf(error) }
  }
}

/** A system's error in words, without the stack and without the path that stands beside it anyway. */
export function reasonOf(error: unknown): string {
  const code = (error as NodeJS.ErrnoException | undefined)?.code ?? ''
  return reasons.get(code) ?? (error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error))
}

const reasons: ReadonlyMap<string, string> = new Map([
  ['ENOENT', 'no such file'],
  ['EACCES', 'permission denied'],
  ['EPERM', 'permission denied'],
  ['EISDIR', 'a directory'],
  ['ENOTDIR', 'a part of the path is no directory'],
  ['ELOOP', 'too many symbolic links'],
  ['EROFS', 'the file system is read-only'],
  ['ENOSPC', 'no space left on the disk'],
  ['ERR_ENCODING_INVALID_ENCODED_DATA', 'not UTF-8'],
])
