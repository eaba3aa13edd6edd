/** Files of this machine that are open: what is asked in place, and that no call ever reaches another file. */
import { closeSync, constants, openSync, readlinkSync } from 'node:fs'
import * as disk from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { messageContent, openMessageFile } from '../src/content.ts'
import { KeptFiles } from '../src/kept-files.ts'
import { limits } from '../src/limits.ts'
import { openLocalFile, type Caller, type OpenFile } from '../src/local-file.ts'

let folder: string
let path: string
beforeEach(async () => {
  folder = await disk.mkdtemp(join(tmpdir(), 'postern-local-file-'))
  path = join(folder, 'file')
})
afterEach(() => disk.rm(folder, { recursive: true, force: true }))

const { O_CREAT, O_EXCL, O_RDONLY, O_RDWR } = constants
const nameOf = (fd: number) => {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`)
  } catch {
    return 'none'
  }
}

const onLoop: Caller = { call: (here) => here() }
const throughThread: Caller = { call: (_, there) => there() }

describe('a local file', () => {
  test.each([
    ['with writes on the event loop', onLoop, undefined],
    ['with writes through threads', throughThread, undefined],
    ['with reads on the event loop', throughThread, onLoop],
    ['with reads through threads', onLoop, throughThread],
    ['by default', undefined, undefined],
  ])('does what a FileHandle does (%s)', async (_, caller, reader) => {
    const file = await openLocalFile(path, O_RDWR | O_CREAT | O_EXCL, 0o600, caller, reader)
    await file.write(Buffer.from('0123456789'), 2, 5, 1)
    await file.truncate(4)
    await file.utimes(new Date(1_000), new Date(2_000))
    await file.sync()
    await file.datasync()
    const bytes = Buffer.alloc(9)
    expect(await file.read(bytes, 1, 8, 0)).toEqual({ bytesRead: 4 })
    expect(bytes.toString('latin1')).toBe('\0\u0000234\0\0\0\0')
    const stats = await file.stat()
    expect([stats.size, stats.isFile(), stats.mtime]).toEqual([4, true, new Date(2_000)])
    await file.close()
  })

  test.each([
    ['that is not there', O_RDONLY, 'ENOENT'],
    ['in a folder that is none', O_RDWR | O_CREAT, 'ENOENT'],
  ])('%s is refused with the code of the system', async (what, flags, code) => {
    const name = what.includes('folder') ? join(path, 'no', 'folder') : path
    await expect(openLocalFile(name, flags)).rejects.toMatchObject({ code })
  })

  test('is opened, and read as long as that is little, as its reader has it', async () => {
    await disk.writeFile(path, Buffer.alloc(65_537, 'x'))
    let made = 0
    const reader: Caller = {
      call: (here) => {
        made += 1
        return here()
      },
    }
    const file = await openLocalFile(path, O_RDONLY, 0o600, undefined, reader)
    expect(made).toBe(1)
    const bytes = Buffer.alloc(65_537)
    expect(await file.read(bytes, 0, 65_536, 0)).toEqual({ bytesRead: 65_536 })
    expect(made).toBe(2)
    expect(await file.read(bytes, 0, 65_537, 0)).toEqual({ bytesRead: 65_537 })
    expect(made).toBe(2)
    await file.close()
    await expect(openLocalFile(join(path, 'none'), O_RDONLY, 0o600, undefined, reader)).rejects.toMatchObject({
      code: 'ENOTDIR',
    })
  })

  test.each([onLoop, throughThread])('that is closed refuses every call, and may be closed again', async (caller) => {
    const file = await openLocalFile(path, O_RDWR | O_CREAT | O_EXCL, 0o600, caller, caller)
    await file.close()
    await file.close()
    await expect(file.write(Buffer.alloc(1), 0, 1, 0)).rejects.toMatchObject({ code: 'EBADF' })
    await expect(file.read(Buffer.alloc(1), 0, 1, 0)).rejects.toMatchObject({ code: 'EBADF' })
    await expect(file.sync()).rejects.toMatchObject({ code: 'EBADF' })
    await expect(file.stat()).rejects.toThrow('fd')
  })

  test.each([
    ['was only read', O_RDONLY],
    ['was written', O_RDWR],
  ])(
    'that %s is closed only after what threads do with it: its number may be another file’s at once',
    async (_, flags) => {
      await disk.writeFile(path, 'of this file')
      for (let round = 0; round < 50; round += 1) {
        const file = await openLocalFile(path, flags)
        const bytes = Buffer.alloc(12)
        const reading = Array.from({ length: 6 }, () => file.read(bytes, 0, 12, 0))
        const closing = file.close()
        const other = openSync(join(folder, `other${round}`), 'w+')
        expect((await Promise.all(reading)).every(({ bytesRead }) => bytesRead === 12)).toBe(true)
        expect(bytes.toString()).toBe('of this file')
        await closing
        closeSync(other)
      }
    },
  )

  test('that has no name any more is closed as well', async () => {
    await disk.writeFile(path, 'gone')
    const file = await openLocalFile(path, O_RDONLY)
    const { fd } = file
    await disk.unlink(path)
    await file.close()
    expect(nameOf(fd)).not.toContain(path)
  })
})

const broken = async () => {
  throw Object.assign(new Error('EIO: broken'), { code: 'EIO', syscall: 'read' })
}

describe('a message that cannot be read', () => {
  test.each([
    ['not even its size', { stat: broken }],
    ['when its lines must be counted, as it is not as long as it was', { read: broken }],
  ])('%s: its file is closed', async (_, fault) => {
    await disk.writeFile(path, 'Subject: one\n\n')
    const opened = await openLocalFile(path, O_RDONLY)
    const { fd } = opened
    const faulty: OpenFile = new Proxy(opened, {
      get(target, key) {
        const member: unknown = Reflect.get(fault, key) ?? Reflect.get(target, key, target)
        return typeof member === 'function' ? (member.bind(target) as unknown) : member
      },
    })
    await expect(messageContent(faulty, { rawBytes: 1, bytes: 1 }, limits)).rejects.toMatchObject({ code: 'EIO' })
    expect(nameOf(fd)).not.toBe(path)
  })
})

test('a message that is moved when it has just been opened is not there any more, and one elsewhere is refused', async () => {
  const [fresh, current] = [join(folder, 'new'), join(folder, 'cur')]
  await Promise.all([fresh, current].map((each) => disk.mkdir(each)))
  await disk.writeFile(join(fresh, 'one'), 'moved')
  const opened: OpenFile[] = []
  const files = {
    open: async (name: string | Buffer, flags: number) => {
      const handle = await openLocalFile(name, flags)
      opened.push(handle)
      await disk.rename(name, join(current, 'one')).catch(() => undefined)
      return handle
    },
  }
  expect(await openMessageFile(files, fresh, join(fresh, 'one'))).toBeUndefined()
  await disk.symlink(current, join(folder, 'link'))
  const links = openMessageFile({ open: openLocalFile }, join(folder, 'link'), join(folder, 'link', 'one'))
  await expect(links).rejects.toMatchObject({ code: 'MAILDIR_SYMLINK' })
  expect(opened.map(({ fd }) => fd)).toEqual([-1])
})

const file = (): Promise<OpenFile> => openLocalFile(path, O_RDWR | O_CREAT)

describe('files that stay open', () => {
  test('belong to one user at a time, and are no more than so many', async () => {
    const kept = new KeptFiles(2)
    const [first, second, third] = [{}, {}, {}]
    const files = [await file(), await file(), await file()] as const
    await kept.keep(first, { file: files[0], ino: 1n })
    await kept.keep(second, { file: files[1], ino: 2n })
    // Used again: now the second is the one that was used longest ago.
    const taken = kept.take(first)
    expect(taken?.ino).toBe(1n)
    expect(kept.take(first)).toBeUndefined()
    await kept.keep(first, taken!)
    await kept.keep(third, { file: files[2], ino: 3n })
    expect(kept.take(second)).toBeUndefined()
    expect(files.map(({ fd }) => fd >= 0)).toEqual([true, false, true])
    await kept.drop(first)
    await kept.close()
    expect(files.map(({ fd }) => fd)).toEqual([-1, -1, -1])
    // A change of flags that was under way when the store was closed.
    const late = await file()
    await kept.keep(first, { file: late, ino: 4n })
    expect(late.fd).toBe(-1)
    expect(kept.take(first)).toBeUndefined()
  })
})
