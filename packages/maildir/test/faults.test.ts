/** A disk that refuses: injected at every call of a delivery, and a real small one. */
import { execFileSync } from 'node:child_process'
import * as disk from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Account, Mailbox, Uid } from '@postern/core'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { openMaildirStore, type Disk } from '../src/index.ts'
import { append, message, refusal, textOf, value } from './conformance.ts'
import { ann, filesBelow, openTestStore, type TestStore } from './kit.ts'

type Call = { readonly name: string; readonly path: string }

function failWith(code: string, call: Call): never {
  throw Object.assign(new Error(`${code}: injected, ${call.name} '${call.path}'`), { code, syscall: call.name })
}

/** Fails those calls of which `decide` names a code. Calls on a file are named `write`, `sync`, `datasync`, `utimes`. */
function faultyDisk(decide: (call: Call) => string | undefined): Disk {
  const check = (name: string, path: unknown) => {
    const call = { name, path: String(path) }
    const code = decide(call)
    if (code !== undefined) failWith(code, call)
  }
  const guardHandle = (handle: FileHandle, path: unknown): FileHandle =>
    new Proxy(handle, {
      get(target, key) {
        const member: unknown = Reflect.get(target, key, target)
        if (typeof member !== 'function') return member
        return async (...args: unknown[]) => {
          const name = key === 'writeFile' ? 'write' : String(key)
          if (['write', 'sync', 'datasync', 'utimes'].includes(name)) check(name, path)
          return (await Reflect.apply(member, target, args)) as unknown
        }
      },
    })
  return new Proxy(disk, {
    get(target, key) {
      const member: unknown = Reflect.get(target, key, target)
      if (typeof member !== 'function') return member
      return async (...args: unknown[]) => {
        check(String(key), key === 'rename' || key === 'symlink' || key === 'link' ? args[1] : args[0])
        const result: unknown = await Reflect.apply(member, target, args)
        return key === 'open' ? guardHandle(result as FileHandle, args[0]) : result
      }
    },
  })
}

let opened: TestStore
afterEach(() => opened.end())

/** Delivers once; the refusal, or `ok`. */
async function tryDelivery(): Promise<string> {
  const begun = await opened.store.deliver(ann, 'INBOX', { flags: [] })
  if (!begun.ok) return begun.refusal
  await begun.value.write(message('one'))
  const outcome = refusal(await begun.value.commit())
  await begun.value.abort()
  return outcome
}

/** Subjects that a process which comes now finds: in INBOX, and in the mailbox that they were moved to. */
const found = async (): Promise<readonly (readonly string[])[]> => {
  const store = openMaildirStore({ root: opened.root, hostname: 'another' })
  const places: string[][] = []
  for (const name of ['INBOX', 'Away']) {
    const mailbox = value(await (await store.openAccount(ann)).open(name, 'read-only'))
    const texts = await Promise.all(mailbox.records().map(({ uid }) => textOf(mailbox, uid)))
    places.push(texts.map((text) => /^Subject: (\w+)/.exec(text ?? '')?.[1] ?? ''))
  }
  await store.close()
  return places
}
const isInto = (folder: string, { name, path }: Call) => name === 'rename' && path.includes(`/${folder}/`)
/** What a full disk does to the files beside the messages. */
const fullBesideMail = ({ name, path }: Call) =>
  name === 'write' && /\/postern-[\w.-]+$/.test(path) ? 'ENOSPC' : undefined

const leftovers = async () =>
  (await filesBelow(opened.maildir)).filter((path) => /(?:Maildir|\.Copies)\/(?:tmp|new|cur)\//.test(path))

describe('a delivery', () => {
  const places = [
    ['creating the file', (call: Call) => call.name === 'open' && call.path.includes('Maildir/tmp/')],
    ['writing it', (call: Call) => call.name === 'write' && call.path.includes('Maildir/tmp/')],
    ['dating it', (call: Call) => call.name === 'utimes'],
    ['syncing it', (call: Call) => call.name === 'sync' && call.path.includes('Maildir/tmp/')],
    ['putting it in place', (call: Call) => call.name === 'rename' && call.path.includes('/new/')],
    ['opening the folder to sync it', (call: Call) => call.name === 'open' && call.path.endsWith('/new')],
    ['syncing the folder', (call: Call) => call.name === 'sync' && call.path.endsWith('/new')],
  ] as const
  const errors = [
    ['ST-02', 'ENOSPC', 'no-space'],
    ['ST-02', 'EDQUOT', 'over-quota'],
    ['ST-03', 'EIO', 'unavailable'],
    ['ST-04', 'EROFS', 'unavailable'],
    ['ST-04', 'EACCES', 'unavailable'],
    ['ST-04', 'EMFILE', 'unavailable'],
    ['ST-04', 'EXDEV', 'unavailable'],
  ] as const
  const cases = errors.flatMap(([row, code, expected]) =>
    places.map(([place, isPlace]) => ({ row, code, expected, place, isPlace })),
  )

  test.each(cases)('$row: $code at $place is $expected, leaves nothing behind, and passes', async (fault) => {
    let left = 1
    const failing = faultyDisk((call) => (fault.isPlace(call) && left-- > 0 ? fault.code : undefined))
    opened = await openTestStore({ disk: failing })
    expect(await tryDelivery()).toBe(fault.expected)
    expect(await leftovers()).toEqual([])
    // The next attempt is a new file: what failed once is not synced again.
    expect(await tryDelivery()).toBe('ok')
    expect(await leftovers()).toHaveLength(1)
  })

  test('that is safe but could be given no UID yet is a delivery all the same', async () => {
    let isFull = true
    const failing = faultyDisk((call) =>
      isFull && call.path.includes('postern-uid') && call.name !== 'readlink' ? 'ENOSPC' : undefined,
    )
    opened = await openTestStore({ disk: failing })
    expect(await tryDelivery()).toBe('ok')
    expect(opened.problems.map(({ kind }) => kind)).toEqual(['uid-deferred'])
    isFull = false
    const inbox = value(await (await opened.store.openAccount(ann)).open('INBOX', 'read-only'))
    expect(inbox.records().map(({ uid }) => uid)).toEqual([1])
  })

  test('whose UID has no room on the disk is shown when there is some, and the others until then', async () => {
    let isFull = false
    const failing = faultyDisk((call) => (isFull ? fullBesideMail(call) : undefined))
    opened = await openTestStore({ disk: failing })
    expect(await tryDelivery()).toBe('ok')
    isFull = true
    expect(await tryDelivery()).toBe('ok')
    const inbox = value(await (await opened.store.openAccount(ann)).open('INBOX', 'read-write'))
    expect(inbox.records().map(({ uid }) => uid)).toEqual([1])
    isFull = false
    expect((await inbox.refresh()).arrived.map(({ uid }) => uid)).toEqual([2])
  })

  test('into a mailbox that is deleted meanwhile is refused', async () => {
    opened = await openTestStore()
    const account = await opened.store.openAccount(ann)
    value(await account.create('Short'))
    const writer = value(await opened.store.deliver(ann, 'Short', { flags: [] }))
    await writer.write(message('one'))
    value(await account.delete('Short'))
    expect(refusal(await writer.commit())).toBe('no-such-mailbox')
  })
})

const uidsIn = (mailbox: Mailbox) => mailbox.records().map(({ uid }) => uid)
const openInbox = async () => (await opened.store.openAccount(ann)).open('INBOX', 'read-only')

describe('a session', () => {
  test('ST-03: UIDs whose sync failed are told to nobody, and the file is not trusted further', async () => {
    let left = 0
    opened = await openTestStore({
      disk: faultyDisk((call) => (call.name === 'datasync' && left-- > 0 ? 'EIO' : undefined)),
    })
    await append(opened.store, ann, 'INBOX', 'one')
    const account = await opened.store.openAccount(ann)
    await disk.writeFile(join(opened.maildir, 'new', '1.foreign'), message('two'))
    left = 1
    expect(refusal(await account.open('INBOX', 'read-only'))).toBe('unavailable')
    const inbox = value(await account.open('INBOX', 'read-only'))
    expect(inbox.records().map(({ uid }) => uid)).toEqual([1, 2])
  })

  test('a COPY that fails half-way leaves nothing in the target', async () => {
    let links = 0
    opened = await openTestStore({
      disk: faultyDisk((call) =>
        call.name === 'rename' && /\.Copies\/(?:new|cur)\//.test(call.path) && ++links === 3 ? 'ENOSPC' : undefined,
      ),
    })
    const account = await opened.store.openAccount(ann)
    value(await account.create('Copies'))
    for (const subject of ['one', 'two', 'three', 'four']) await append(opened.store, ann, 'INBOX', subject)
    const inbox = value(await account.open('INBOX', 'read-write'))
    const uids = inbox.records().map(({ uid }) => uid)
    expect(refusal(await inbox.copy(uids, 'Copies'))).toBe('no-space')
    expect((await leftovers()).filter((path) => path.includes('.Copies'))).toEqual([])
    expect(refusal(await inbox.move(uids, 'Copies'))).toBe('ok')
    expect(value(await account.status('Copies')).messages).toBe(4)
  })

  describe('a MOVE', () => {
    let inbox: Mailbox
    let account: Account
    let fault: (call: Call) => string | undefined
    beforeEach(async () => {
      fault = () => undefined
      opened = await openTestStore({ disk: faultyDisk((call) => fault(call)) })
      account = await opened.store.openAccount(ann)
      value(await account.create('Away'))
      for (const subject of ['one', 'two', 'three']) await append(opened.store, ann, 'INBOX', subject)
      inbox = value(await account.open('INBOX', 'read-write'))
    })

    test('that cannot take the messages leaves them where they are', async () => {
      fault = (call) => (isInto('.Away/new', call) ? 'EACCES' : undefined)
      expect(refusal(await inbox.move([1, 2] as Uid[], 'Away'))).toBe('unavailable')
      expect(await found()).toEqual([['one', 'two', 'three'], []])
      fault = () => undefined
      // The UIDs that they would have had are spent.
      expect(value(await inbox.move([1, 2] as Uid[], 'Away'))).toMatchObject({ from: [1, 2], to: [3, 4] })
      expect(await found()).toEqual([['three'], ['one', 'two']])
    })

    test('that fails half-way tells what it moved, and why no more', async () => {
      let renames = 0
      fault = (call) => (isInto('.Away/new', call) && ++renames === 2 ? 'ENOSPC' : undefined)
      const moved = value(await inbox.move([1, 2, 3] as Uid[], 'Away'))
      expect(moved).toMatchObject({ from: [1], to: [1], refusal: 'no-space' })
      expect(inbox.records().map(({ uid }) => uid)).toEqual([2, 3])
      expect(await found()).toEqual([['two', 'three'], ['one']])
      // RENAME of INBOX moves its messages.
      fault = (call) => (isInto('.Old/new', call) && ++renames === 4 ? 'ENOSPC' : undefined)
      expect(refusal(await account.rename('INBOX', 'Old'))).toBe('no-space')
      expect(await found()).toEqual([['three'], ['one']])
    })

    test.each(['.Away/new', 'Maildir/cur'])('that is not durable in %s is taken back', async (folder) => {
      fault = ({ name, path }) => (name === 'sync' && path.endsWith(folder) ? 'EIO' : undefined)
      expect(refusal(await inbox.move([1, 3] as Uid[], 'Away'))).toBe('unavailable')
      fault = () => undefined
      expect((await inbox.refresh()).expunged).toEqual([])
      expect(await found()).toEqual([['one', 'two', 'three'], []])
    })

    test('that can neither be kept nor taken back leaves a message in one place', async () => {
      fault = (call) =>
        (call.name === 'sync' && call.path.endsWith('.Away/new')) || isInto('Maildir/cur', call) ? 'EIO' : undefined
      expect(refusal(await inbox.move([1] as Uid[], 'Away'))).toBe('unavailable')
      fault = () => undefined
      expect((await inbox.refresh()).expunged).toEqual([1])
      expect(await found()).toEqual([['two', 'three'], ['one']])
    })

    test('whose source cannot be told of it has moved them', async () => {
      fault = ({ name, path }) =>
        name === 'datasync' && path.endsWith('Maildir/postern-uidlist') ? 'ENOSPC' : undefined
      expect(value(await inbox.move([1] as Uid[], 'Away')).from).toEqual([1])
      expect(await found()).toEqual([['two', 'three'], ['one']])
      fault = () => undefined
      expect(await inbox.refresh()).toEqual({ arrived: [], expunged: [], changed: [] })
      expect(await found()).toEqual([['two', 'three'], ['one']])
    })

    test('on a disk that is full then keeps nobody from reading', async () => {
      const others = await openTestStore({ root: opened.root, disk: faultyDisk((call) => fault(call)) })
      const selected = value(await (await others.store.openAccount(ann)).open('INBOX', 'read-only'))
      value(await inbox.setFlags([3] as Uid[], { op: 'add', flags: ['\\Deleted'] }))
      value(await inbox.expunge())
      // There is room for the UIDs in the other mailbox, and then for nothing more.
      fault = (call) => {
        if (isInto('.Away/new', call)) fault = fullBesideMail
        return undefined
      }
      expect(value(await inbox.move([1] as Uid[], 'Away')).from).toEqual([1])
      expect((await selected.refresh()).expunged).toEqual([1, 3])
      // To write the UID list anew, since most of its lines are dead, there is no room either.
      const limits = { minDeadLines: 0 }
      const late = await openTestStore({ root: opened.root, disk: faultyDisk(fullBesideMail), limits })
      const mailbox = value(await (await late.store.openAccount(ann)).open('INBOX', 'read-write'))
      expect(mailbox.records().map(({ uid }) => uid)).toEqual([2])
      expect(late.problems.map(({ kind }) => kind)).toContain('journal-deferred')
      await late.store.close()
      await others.store.close()
      fault = () => undefined
      expect(await inbox.refresh()).toEqual({ arrived: [], expunged: [], changed: [] })
      expect(await found()).toEqual([['two'], ['one']])
    })

    test('between two file systems copies, and removes', async () => {
      let isCopied = false
      fault = (call) => {
        isCopied ||= call.name === 'link'
        return call.name === 'link' || (isInto('.Away/new', call) && !isCopied) ? 'EXDEV' : undefined
      }
      const { internalDate } = inbox.records()[0] ?? {}
      expect(value(await inbox.move([1] as Uid[], 'Away')).to).toEqual([1])
      expect(await found()).toEqual([['two', 'three'], ['one']])
      const away = value(await account.open('Away', 'read-only'))
      expect(away.records()[0]?.internalDate).toEqual(internalDate)
    })

    test('between two file systems, that has no room there, leaves nothing there', async () => {
      fault = (call) => {
        if (call.name === 'write' && call.path.includes('.Away/tmp/')) return 'ENOSPC'
        return call.name === 'link' || isInto('.Away/new', call) ? 'EXDEV' : undefined
      }
      expect(refusal(await inbox.move([1] as Uid[], 'Away'))).toBe('no-space')
      expect(refusal(await inbox.copy([1] as Uid[], 'Away'))).toBe('no-space')
      expect((await filesBelow(opened.maildir)).filter((path) => path.includes('.Away/tmp/'))).toEqual([])
      expect(await found()).toEqual([['one', 'two', 'three'], []])
    })

    test('between two file systems, that cannot remove the original, is undone', async () => {
      let isCopied = false
      fault = (call) => {
        isCopied ||= call.name === 'link'
        if (call.name === 'unlink' && call.path.includes('Maildir/cur/')) return 'EACCES'
        return isInto('.Away/new', call) && !isCopied ? 'EXDEV' : undefined
      }
      expect(refusal(await inbox.move([1] as Uid[], 'Away'))).toBe('unavailable')
      expect(await found()).toEqual([['one', 'two', 'three'], []])
    })
  })

  test('a file system without hard links still copies, with the date', async () => {
    opened = await openTestStore({ disk: faultyDisk((call) => (call.name === 'link' ? 'EPERM' : undefined)) })
    const account = await opened.store.openAccount(ann)
    const internalDate = new Date('2001-02-03T04:05:06Z')
    const { uid } = await append(opened.store, ann, 'INBOX', 'one', { internalDate })
    const inbox = value(await account.open('INBOX', 'read-write'))
    const copied = value(await inbox.copy([uid], 'INBOX'))
    await inbox.refresh()
    expect(inbox.records()[1]?.internalDate).toEqual(internalDate)
    expect(await textOf(inbox, copied.to[0] ?? uid)).toBe(message('one').toString())
  })

  describe('a look at a mailbox into which another program put messages', () => {
    let fault: (call: Call) => string | undefined
    beforeEach(async () => {
      fault = () => undefined
      // The times of the folders are past at once: what a look did not take up is not found by reading them again all the same.
      opened = await openTestStore({ disk: faultyDisk((call) => fault(call)), limits: { dirtyWindowMs: -1 } })
      await append(opened.store, ann, 'INBOX', 'one')
      await disk.writeFile(join(opened.maildir, 'new', '17.early'), message('early'))
      await disk.writeFile(join(opened.maildir, 'new', '18.late'), message('late'))
    })

    test.each(['EDQUOT', 'EROFS'])('that can give no UIDs for %s shows the others', async (code) => {
      fault = ({ name, path }) => (name === 'datasync' && path.endsWith('postern-uidlist') ? code : undefined)
      const inbox = value(await openInbox())
      expect(uidsIn(inbox)).toEqual([1])
      fault = () => undefined
      expect((await inbox.refresh()).arrived.map(({ uid }) => uid)).toEqual([2, 3])
    })

    test.each<[string, (call: Call) => boolean]>([
      ['in the middle of the folders', ({ name, path }) => name === 'opendir' && path.endsWith('/cur')],
      ['behind them', ({ name, path }) => name === 'lstat' && path.endsWith('18.late')],
    ])('that fails %s is made again as if it had not been', async (_where, isThere) => {
      fault = (call) => (isThere(call) ? 'ELOOP' : undefined)
      expect(refusal(await openInbox())).toBe('unavailable')
      fault = () => undefined
      expect(uidsIn(value(await openInbox()))).toEqual([1, 2, 3])
    })

    test.each(['EACCES', 'EIO'])('of which one answers with %s shows the others', async (code) => {
      fault = ({ name, path }) => (name === 'open' && path.endsWith('17.early') ? code : undefined)
      const inbox = value(await openInbox())
      expect(uidsIn(inbox)).toEqual([1, 2])
      expect(await textOf(inbox, 2 as Uid)).toContain('Subject: late')
      expect(opened.problems).toMatchObject([{ kind: 'skipped-file', detail: '17.early: not readable' }])
    })
  })

  test('a disk that fails is never an exception of an operation that has an outcome', async () => {
    let code: string | undefined
    opened = await openTestStore({ disk: faultyDisk(() => code) })
    const account = await opened.store.openAccount(ann)
    value(await account.create('Work'))
    const { uid } = await append(opened.store, ann, 'INBOX', 'one', { flags: ['\\Deleted'] })
    const inbox = value(await account.open('INBOX', 'read-write'))
    for (code of ['EIO', 'EMFILE', 'ENOSPC']) {
      const outcomes = [
        await account.create('Other'),
        await account.delete('Work'),
        await account.rename('Work', 'Other'),
        await account.rename('INBOX', 'Other'),
        await account.subscribe('Work', true),
        await account.status('Work'),
        await account.open('Work', 'read-write'),
        await inbox.setFlags([uid], { op: 'add', flags: ['\\Seen'] }),
        await inbox.setFlags([uid], { op: 'add', flags: ['keyword'] }),
        await inbox.copy([uid], 'Work'),
        await inbox.move([uid], 'Work'),
        await inbox.expunge(),
        await opened.store.deliver(ann, 'Work', { flags: [] }),
      ].map(refusal)
      expect(outcomes).toEqual(outcomes.map(() => (code === 'ENOSPC' ? 'no-space' : 'unavailable')))
    }
    code = undefined
    expect(value(await inbox.expunge())).toEqual([uid])
  })
})

/** Mounting needs root, and a container may forbid it even then; the injected faults above run everywhere. */
function mayMount(): boolean {
  try {
    execFileSync('unshare', ['--mount', 'mount', '-t', 'tmpfs', 'tmpfs', tmpdir()], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

describe.runIf(mayMount())('a real file system of 256 KiB', () => {
  test('ST-02: fills up, refuses for now, and goes on when there is space again', async () => {
    const root = await disk.mkdtemp(join(tmpdir(), 'postern-small-'))
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'tmpfs', root])
    try {
      opened = await openTestStore({ root })
      const attempt = async () => {
        const begun = await opened.store.deliver(ann, 'INBOX', { flags: [] })
        if (!begun.ok) return begun.refusal
        await begun.value.write(Buffer.concat([message('big'), Buffer.alloc(50_000, 'x\r\n')]))
        return refusal(await begun.value.commit())
      }
      let accepted = 0
      let answer = await attempt()
      for (; answer === 'ok'; answer = await attempt()) accepted += 1
      expect(answer).toBe('no-space')
      expect(accepted).toBeGreaterThan(1)
      const account = await opened.store.openAccount(ann)
      const inbox = value(await account.open('INBOX', 'read-write'))
      expect(inbox.records()).toHaveLength(accepted)
      expect(await disk.readdir(join(opened.maildir, 'tmp'))).toEqual([])
      const [first] = inbox.records()
      if (first === undefined) throw new Error('nothing was accepted')
      value(await inbox.setFlags([first.uid], { op: 'add', flags: ['\\Deleted'] }))
      value(await inbox.expunge())
      expect(await attempt()).toBe('ok')
      await inbox.close()
      await opened.store.close()
      execFileSync('mount', ['-o', 'remount,ro', root])
      const next = openMaildirStore({ root })
      expect(refusal(await next.deliver(ann, 'INBOX', { flags: [] }))).toBe('unavailable')
      await next.close()
    } finally {
      execFileSync('umount', ['-l', root])
    }
  })
})

test('ST-11: what is answered would outlive a power cut: each thing is synced before the next names it', async () => {
  const calls: string[] = []
  const noting = faultyDisk(({ name, path }) => {
    if (['write', 'sync', 'datasync', 'rename'].includes(name)) {
      const [folder = '', file = ''] = path.split('/').slice(-2)
      calls.push(`${name} ${file === 'new' || file.startsWith('postern-') ? file : folder}`)
    }
    return undefined
  })
  opened = await openTestStore({ disk: noting })
  await append(opened.store, ann, 'INBOX', 'first')
  calls.length = 0
  await append(opened.store, ann, 'INBOX', 'one')
  // The content, the name that shows it, the UID, and last the header that says how far UIDs are durable.
  expect(calls).toEqual([
    'write tmp',
    'sync tmp',
    'rename new',
    'sync new',
    'write postern-uidlist',
    'datasync postern-uidlist',
    'write postern-uidlist',
  ])
  const inbox = value(await (await opened.store.openAccount(ann)).open('INBOX', 'read-write'))
  value(await inbox.setFlags([inbox.records()[0]?.uid ?? (0 as never)], { op: 'add', flags: ['\\Deleted'] }))
  calls.length = 0
  value(await inbox.expunge())
  // A name that is gone for good before the UID is: a message never comes back after it was told as expunged.
  expect(calls.filter((call) => !call.includes('journal'))).toEqual([
    'sync Maildir',
    'write postern-uidlist',
    'datasync postern-uidlist',
    'write postern-uidlist',
  ])
})
