/*
 * Files that have no UID yet: whether they are messages, how large, and of which date.
 */
import type { BigIntStats } from 'node:fs'
import type { MailboxPlace, StoreContext } from './context.ts'
import { countBareLf, openMessageFile } from './content.ts'
import { isErrno } from './errors.ts'
import { baseOf, pathOf, sizesIn } from './filename.ts'
import type { UidLine } from './uidlist.ts'

/** A file of `new` or `cur`. */
export interface FoundFile {
  readonly name: string
  readonly isNew: boolean
}

export type MeasuredFile = FoundFile & Omit<UidLine, 'uid' | 'base'>

const folderOf = (place: MailboxPlace, file: FoundFile): string => `${place.path}/${file.isNew ? 'new' : 'cur'}`

export const pathOfFile = (place: MailboxPlace, file: FoundFile): string | Buffer =>
  pathOf(folderOf(place, file), file.name)

/** Some files at once; the order is kept. What is no message is told to `skip`; what is gone is left out. */
export async function measureFiles(
  files: readonly FoundFile[],
  place: MailboxPlace,
  context: StoreContext,
  skip: (name: string, why: string) => void,
): Promise<MeasuredFile[]> {
  const measured: (MeasuredFile | undefined)[] = []
  let next = 0
  const measureNext = async () => {
    for (let at = next++; at < files.length; at = next++) {
      const file = files[at]
      if (file === undefined) continue
      const found = await measure(file, place, context)
      if (typeof found === 'string') skip(file.name, found)
      else measured[at] = found
    }
  }
  await Promise.all(Array.from({ length: context.limits.parallelFiles }, measureNext))
  return measured.filter((file) => file !== undefined)
}

/** Or why it is no message; `undefined` when it is gone. */
async function measure(
  file: FoundFile,
  place: MailboxPlace,
  context: StoreContext,
): Promise<MeasuredFile | string | undefined> {
  const { disk, limits } = context
  const path = pathOfFile(place, file)
  let stats: BigIntStats
  try {
    stats = await disk.lstat(path, { bigint: true })
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined
    throw error
  }
  if (!stats.isFile()) return 'no regular file'
  const size = Number(stats.size)
  if (size === 0) return 'empty'
  const dateMs = Number(stats.mtimeMs)
  const claimed = sizesIn(baseOf(file.name))
  if (claimed.raw === size && claimed.crlf === size) return { ...file, dateMs, rawBytes: size, bytes: size }
  // No claim, or a file with LF line ends, or a lie: it is read through.
  if (size > limits.maxForeignMessageBytes) return `larger than ${limits.maxForeignMessageBytes} bytes`
  try {
    const handle = await openMessageFile(disk, folderOf(place, file), path)
    if (handle === undefined) return undefined
    try {
      return { ...file, dateMs, rawBytes: size, bytes: size + (await countBareLf(handle, limits)) }
    } finally {
      await handle.close()
    }
  } catch (error) {
    // One that another program keeps to itself, or that is damaged on the disk, keeps nobody from the others.
    if (isErrno(error, 'EACCES', 'EPERM', 'EIO')) return 'not readable'
    throw error
  }
}
