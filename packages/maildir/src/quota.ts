/*
 * How much an account holds, in the file `maildirsize` of Maildir++ (as Courier and Dovecot keep it):
 *
 *   1073741824S,10000C      the limits: bytes of files, and messages
 *   52428800 1300           counted
 *   2048 1                  a message came
 *   -4096 -2                two went
 *
 * Lines are appended, and their sum is what is there. The file is a cache: it is counted anew when it is missing, of other
 * limits, or has grown to 5120 bytes, and before anything is refused. What other programs do without a line is found then.
 * Two processes that look at once may both let a message in: a quota is overrun by one message for each, at most.
 *
 * To count an account is dear, and one that is full stays so while mail keeps coming. So a process remembers its own
 * counts, and believes one as long as no folder has another time than before it: then nothing came and nothing went.
 */
import { constants } from 'node:fs'
import type { MailboxPlace, StoreContext } from './context.ts'
import { openIfThere, readSmallFileOrNothing, replaceFile, unlinkIfThere } from './durable.ts'
import { isErrno } from './errors.ts'
import { pathOf, sizesIn } from './filename.ts'
import type { QuotaLimits } from './options.ts'
import { isTimeSettled } from './sub-folders.ts'

const fileName = 'maildirsize'
/** Maildir++: a file that has grown to this is counted anew. */
const maxFileBytes = 5_120

/** Bytes of files and messages of an account, or a change of them. */
export interface Usage {
  readonly bytes: number
  readonly messages: number
}

/** What the account holds. */
export async function readUsage(maildir: string, limits: QuotaLimits, context: StoreContext): Promise<Usage> {
  return (await readFile(maildir, limits, context)) ?? (await countAnew(maildir, limits, context))
}

/** Whether so much more may come. Nothing is refused by a cache alone. */
export async function hasRoom(
  maildir: string,
  limits: QuotaLimits,
  more: Usage,
  context: StoreContext,
): Promise<boolean> {
  if (isWithin(limits, await readUsage(maildir, limits, context), more)) return true
  const known = context.counts.of(maildir, await timesOf(await foldersOf(maildir, context), context))
  return isWithin(limits, known ?? (await countAnew(maildir, limits, context)), more)
}

/** Accounts whose last count is remembered; one that is forgotten is only counted again. */
const maxCounts = 1_000

/** What this process counted, and the times that the folders had before. */
export class UsageCounts {
  readonly #counts = new Map<string, { readonly times: string; readonly usage: Usage }>()

  of(maildir: string, { text }: FolderTimes): Usage | undefined {
    const known = this.#counts.get(maildir)
    return known?.times === text ? known.usage : undefined
  }

  keep(maildir: string, { text, areSettled }: FolderTimes, usage: Usage): void {
    this.#counts.delete(maildir)
    // A change in the same tick of the file system's clock would hide behind the time.
    if (!areSettled) return
    this.#counts.set(maildir, { times: text, usage })
    const [oldest] = this.#counts.keys()
    if (this.#counts.size > maxCounts && oldest !== undefined) this.#counts.delete(oldest)
  }
}

interface FolderTimes {
  readonly text: string
  /** Whatever changes from now on gives a folder another time. */
  readonly areSettled: boolean
}

/** Adds a line for what came or went. The disk may refuse it: then the next count finds it. */
export async function noteUsage({ maildir }: MailboxPlace, change: Usage, { disk }: StoreContext): Promise<void> {
  if (change.bytes === 0 && change.messages === 0) return
  try {
    const handle = await openIfThere(disk, `${maildir}/${fileName}`, constants.O_WRONLY | constants.O_APPEND)
    if (handle === undefined) return
    try {
      await handle.writeFile(`${change.bytes} ${change.messages}\n`)
    } finally {
      await handle.close()
    }
  } catch {
    await forgetUsage(maildir, { disk }).catch(() => undefined)
  }
}

/** After a change that has no size: everything is counted when somebody asks. */
export async function forgetUsage(maildir: string, { disk }: Pick<StoreContext, 'disk'>): Promise<void> {
  await unlinkIfThere(disk, `${maildir}/${fileName}`)
}

function isWithin({ bytes = Infinity, messages = Infinity }: QuotaLimits, used: Usage, more: Usage): boolean {
  return used.bytes + more.bytes <= bytes && used.messages + more.messages <= messages
}

const headOf = ({ bytes, messages }: QuotaLimits): string =>
  [...(bytes === undefined ? [] : [`${bytes}S`]), ...(messages === undefined ? [] : [`${messages}C`])].join(',')

/** The sum of the lines; `undefined` when the file does not count. */
async function readFile(maildir: string, limits: QuotaLimits, context: StoreContext): Promise<Usage | undefined> {
  const text = await readSmallFileOrNothing(context.disk, `${maildir}/${fileName}`, context.limits)
  if (text === undefined || text.length >= maxFileBytes || !text.endsWith('\n')) return undefined
  const [head, ...lines] = text.slice(0, -1).split('\n')
  if (head !== headOf(limits)) return undefined
  let [bytes, messages] = [0, 0]
  for (const line of lines) {
    const parts = /^ *(-?\d{1,15}) +(-?\d{1,10}) *$/.exec(line)
    if (parts === null) return undefined
    bytes += Number(parts[1])
    messages += Number(parts[2])
  }
  return bytes < 0 || messages < 0 ? undefined : { bytes, messages }
}

/** Looks at every file name of the account; names tell sizes, other files are asked. */
async function countAnew(maildir: string, limits: QuotaLimits, context: StoreContext): Promise<Usage> {
  const { disk, counts } = context
  let [bytes, messages] = [0, 0]
  const folders = await foldersOf(maildir, context)
  const times = await timesOf(folders, context)
  for (const folder of folders) {
    for await (const size of sizesOf(folder, context)) {
      bytes += size
      messages += 1
    }
  }
  await replaceFile(disk, maildir, fileName, async (handle) => {
    await handle.writeFile(`${headOf(limits)}\n${bytes} ${messages}\n`)
  }).catch((error: unknown) => {
    // A disk that takes no file still has a mailbox that can be read.
    if (!isErrno(error, 'ENOSPC', 'EDQUOT', 'EROFS', 'EACCES', 'EEXIST', 'ENOENT')) throw error
  })
  counts.keep(maildir, times, { bytes, messages })
  return { bytes, messages }
}

/** `new` and `cur` of every mailbox, in an order that stays. */
async function foldersOf(maildir: string, { disk, limits }: StoreContext): Promise<readonly string[]> {
  const paths = [maildir]
  for await (const entry of await disk.opendir(maildir, { bufferSize: limits.folderBufferEntries })) {
    if (entry.name.startsWith('.') && entry.isDirectory()) paths.push(`${maildir}/${entry.name}`)
  }
  return paths.sort().flatMap((path) => [`${path}/new`, `${path}/cur`])
}

async function timesOf(folders: readonly string[], { disk, limits }: StoreContext): Promise<FolderTimes> {
  let text = ''
  let areSettled = true
  for (const folder of folders) {
    const stats = await disk.lstat(folder, { bigint: true }).catch(() => undefined)
    text += `${folder} ${stats?.ino} ${stats?.mtimeNs}\n`
    areSettled &&= stats === undefined || isTimeSettled(stats.mtimeNs, limits)
  }
  return { text, areSettled }
}

async function* sizesOf(folder: string, { disk, limits }: StoreContext): AsyncGenerator<number> {
  try {
    const names = await disk.opendir(folder, { encoding: 'latin1', bufferSize: limits.folderBufferEntries })
    for await (const { name } of names) {
      if (name.startsWith('.')) continue
      const size = sizesIn(name).raw
      if (size !== undefined) {
        yield size
        continue
      }
      const stats = await disk.lstat(pathOf(folder, name)).catch(() => undefined)
      if (stats?.isFile() === true) yield stats.size
    }
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) throw error
  }
}
