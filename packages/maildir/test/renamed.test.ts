/*
 * A mailbox that is renamed while it is in use, by this process or another one: it is the same mailbox, and who has it selected
 * or delivers into it goes along (RFC 2180 section 3.4). One that was deleted is gone, whatever has its name by now.
 */
import { cp, symlink, unlink } from 'node:fs/promises'
import * as fs from 'node:fs/promises'
import { join } from 'node:path'
import { MailboxGoneError, type Account, type Mailbox, type Uid } from '@postern/core'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { FolderPool } from '../src/account.ts'
import type { Folder } from '../src/folder.ts'
import type { Disk, MaildirStore } from '../src/index.ts'
import { append, message, refusal, textOf, value } from './conformance.ts'
import { ann, filesBelow, openTestStore, type TestStore } from './kit.ts'

// The disk of a busy machine is slow; no test waits for a time to pass.
vi.setConfig({ testTimeout: 60_000 })

let opened: TestStore
let account: Account
/** Another process, as far as the store can tell. */
let other: MaildirStore
let others: Account
let box: Mailbox

beforeEach(async () => {
  opened = await openTestStore()
  account = await opened.store.openAccount(ann)
  other = (await openTestStore({ root: opened.root })).store
  others = await other.openAccount(ann)
  value(await account.create('Box'))
  for (const subject of ['one', 'two', 'three']) await append(opened.store, ann, 'Box', subject)
  box = value(await account.open('Box', 'read-write'))
})
afterEach(async () => {
  await box.close()
  await other.close()
  await opened.end()
})

/** Where the mailbox is by now; in its old place there may be another one. */
const renames: Readonly<Record<string, () => Promise<unknown>>> = {
  'by this process': () => account.rename('Box', 'Other/Deep'),
  'by another process': () => others.rename('Box', 'Other/Deep'),
  'by another process, twice': async () => {
    value(await others.rename('Box', 'Once'))
    value(await others.rename('Once', 'Other/Deep'))
  },
  'by another process, with another mailbox in its place': async () => {
    value(await others.rename('Box', 'Other/Deep'))
    value(await others.create('Box'))
    await append(other, ann, 'Box', 'not this')
  },
}

test('a keyword that a mailbox has taken in is new to the one that has its name by now', async () => {
  const flags = ['$One']
  await append(opened.store, ann, 'Box', 'first', { flags })
  value(await others.rename('Box', 'Away'))
  value(await others.create('Box'))
  const { uid } = await append(opened.store, ann, 'Box', 'second', { flags })
  const now = value(await others.open('Box', 'read-only'))
  expect(now.records()).toMatchObject([{ uid, flags }])
  await now.close()
})

test('an EXPUNGE of a mailbox that is deleted while it looks is refused, as of one that is gone', async () => {
  let isDoomed = false
  const opendir = (async (path: string, options: { readonly encoding: 'latin1' }) => {
    if (isDoomed && path.endsWith('/new')) {
      isDoomed = false
      value(await others.delete('Box'))
    }
    return fs.opendir(path, options)
  }) as unknown as Disk['opendir']
  const slow = await openTestStore({ root: opened.root, disk: { ...fs, opendir } })
  const there = value(await (await slow.store.openAccount(ann)).open('Box', 'read-write'))
  const uids = there.records().map(({ uid }) => uid)
  value(await there.setFlags(uids, { op: 'add', flags: ['\\Deleted'] }))
  isDoomed = true
  await append(other, ann, 'Box', 'four')
  expect(await there.expunge()).toMatchObject({ ok: false, refusal: 'no-such-mailbox' })
  await there.close()
  await slow.store.close()
})

describe.each(Object.entries(renames))('renamed %s', (_, rename) => {
  test('a look finds it, and nothing in it has changed', async () => {
    await rename()
    expect(await box.refresh()).toEqual({ arrived: [], expunged: [], changed: [] })
    expect(box.name).toBe('Other/Deep')
    expect(box.recent()).toEqual(new Set([1, 2, 3]))
    await append(other, ann, 'Other/Deep', 'four')
    expect((await box.refresh()).arrived.map(({ uid }) => uid)).toEqual([4])
    expect(box.recent()).toContain(4)
  })

  const uses: Readonly<Record<string, () => Promise<unknown>>> = {
    'reads a message': async () => {
      expect(await textOf(box, 2 as Uid)).toContain('Subject: two')
    },
    'changes flags': async () => {
      const { messages } = value(await box.setFlags([2 as Uid], { op: 'add', flags: ['\\Flagged'] }))
      expect(messages.map(({ uid, flags }) => [uid, flags])).toEqual([[2, ['\\Flagged']]])
    },
    'copies messages': async () => {
      expect(value(await box.copy([1, 3] as Uid[], 'INBOX')).from).toEqual([1, 3])
    },
    'moves messages': async () => {
      expect(value(await box.move([1, 3] as Uid[], 'INBOX')).from).toEqual([1, 3])
      expect(box.records().map(({ uid }) => uid)).toEqual([2])
    },
    'expunges messages': async () => {
      value(
        await others.open('Other/Deep', 'read-write').then(async (opening) => {
          const theirs = value(opening)
          const marked = await theirs.setFlags([2 as Uid], { op: 'add', flags: ['\\Deleted'] })
          await theirs.close()
          return marked
        }),
      )
      expect(value(await box.expunge([2 as Uid]))).toEqual([2])
    },
  }
  test.each(Object.entries(uses))('who did not look since %s', async (__, use) => {
    await rename()
    await use()
    expect(box.name).toBe('Other/Deep')
  })

  test('who watches it is hinted at what comes into it', async () => {
    const hinted = Promise.withResolvers<void>()
    box.watch(hinted.resolve)
    await rename()
    await box.refresh()
    await append(other, ann, 'Other/Deep', 'four')
    await expect(hinted.promise).resolves.toBeUndefined()
  })

  test.each([1, 3])('what was on its way into it lands in it: %s at once', async (count) => {
    const writers = []
    for (let number = 0; number < count; number += 1) {
      const writer = value(await opened.store.deliver(ann, 'Box', { flags: ['\\Seen', '$Late'] }))
      await writer.write(message(`late ${number}`))
      writers.push(writer)
    }
    await rename()
    const [first, ...more] = writers
    const placed = value((await first?.commitWith?.(more)) ?? { ok: false, refusal: 'unavailable', detail: '' })
    expect(placed).toEqual({ uidValidity: box.uidValidity, uids: [4, 5, 6].slice(0, count) })
    expect((await box.refresh()).arrived.map(({ uid, flags }) => [uid, flags])).toEqual(
      [4, 5, 6].slice(0, count).map((uid) => [uid, ['\\Seen', '$Late']]),
    )
    expect(await filesInTmp()).toEqual([])
  })
})

describe.each(['deleted', 'deleted and made again'])('%s', (what) => {
  beforeEach(async () => {
    value(await others.delete('Box'))
    if (what === 'deleted and made again') {
      value(await others.create('Box'))
      await append(other, ann, 'Box', 'not this')
    }
  })

  test('it is gone for who has it selected', async () => {
    await expect(box.refresh()).rejects.toBeInstanceOf(MailboxGoneError)
    expect(await box.content(1 as Uid)).toBeUndefined()
    for (const outcome of [
      await box.setFlags([1 as Uid], { op: 'add', flags: ['\\Seen'] }),
      await box.copy([1 as Uid], 'INBOX'),
      await box.move([1 as Uid], 'INBOX'),
      await box.expunge([1 as Uid]),
    ]) {
      expect(['no-such-mailbox', 'unavailable']).toContain(refusal(outcome))
    }
    expect(value(await others.status('INBOX')).messages).toBe(0)
  })
})

test('what was on its way into a mailbox that was deleted is refused, and left nowhere', async () => {
  const writer = value(await opened.store.deliver(ann, 'Box', { flags: [] }))
  await writer.write(message('late'))
  value(await others.delete('Box'))
  expect(refusal(await writer.commit())).toBe('no-such-mailbox')
})

test.each(['renamed', 'deleted'])(
  'a mailbox that is %s beside one that is broken is followed, or gone, all the same',
  async (what) => {
    value(await account.create('A broken one'))
    const list = join(opened.maildir, '.A broken one', 'postern-uidlist')
    await unlink(list)
    await symlink('nowhere', list)
    value(await (what === 'renamed' ? others.rename('Box', 'Other') : others.delete('Box')))
    const looked = await box.refresh().catch((error: unknown) => error)
    expect(looked instanceof MailboxGoneError).toBe(what === 'deleted')
    expect(box.name).toBe(what === 'renamed' ? 'Other' : 'Box')
  },
)

test.each(['renamed', 'deleted'])(
  'a mailbox that is %s beside an operator’s copy of it is followed, or gone: a copy is another mailbox',
  async (what) => {
    for (const name of ['.A copy', '.Z copy'])
      await cp(join(opened.maildir, '.Box'), join(opened.maildir, name), { recursive: true })
    value(await (what === 'renamed' ? others.rename('Box', 'Other') : others.delete('Box')))
    const looked = await box.refresh().catch((error: unknown) => error)
    expect(looked instanceof MailboxGoneError).toBe(what === 'deleted')
    expect(box.name).toBe(what === 'renamed' ? 'Other' : 'Box')
  },
)

test('RENAME makes no mailboxes above the new name: LIST tells them without', async () => {
  value(await account.rename('Box', 'Alpha/Beta/Box'))
  const names = (await account.list()).map(({ name, attributes }) => [name, ...attributes])
  expect(names).toEqual([
    ['INBOX', '\\HasNoChildren'],
    ['Alpha', '\\HasChildren', '\\Noselect'],
    ['Alpha/Beta', '\\HasChildren', '\\Noselect'],
    ['Alpha/Beta/Box', '\\HasNoChildren'],
  ])
  expect(refusal(await account.delete('Alpha'))).toBe('has-children')
  value(await account.delete('Alpha/Beta/Box'))
  expect((await account.list()).map(({ name }) => name)).toEqual(['INBOX'])
})

test('a keyword that comes with a message means the same in a mailbox that was deleted and made again', async () => {
  value(await box.setFlags([1 as Uid], { op: 'add', flags: ['$Old'] }))
  value(await others.delete('Box'))
  value(await others.create('Box'))
  await append(other, ann, 'Box', 'new', { flags: ['$New'] })
  await append(opened.store, ann, 'Box', 'late', { flags: ['$Old'] })
  const made = value(await others.open('Box', 'read-only'))
  expect(made.records().map(({ uid, flags }) => [uid, flags])).toEqual([
    [1, ['$New']],
    [2, ['$Old']],
  ])
  await made.close()
})

test('keywords are kept in a mailbox that was deleted and made again, and not looked at before one more came', async () => {
  // So many that some are in the journal, and nowhere else.
  const words = Array.from({ length: 30 }, (_, at) => `word${at}`)
  value(await others.delete('Box'))
  value(await others.create('Box'))
  await append(other, ann, 'Box', 'new', { flags: words })
  value(await others.status('Box'))
  await append(opened.store, ann, 'Box', 'late', { flags: words })
  value(await account.status('Box'))
  const made = value(await others.open('Box', 'read-only'))
  expect(made.records().map(({ uid, flags }) => [uid, flags.toSorted()])).toEqual([
    [1, words.toSorted()],
    [2, words.toSorted()],
  ])
  await made.close()
})

test('messages that began in two mailboxes of one name are not placed together, and none is left anywhere', async () => {
  const first = value(await opened.store.deliver(ann, 'Box', { flags: [] }))
  await first.write(message('first'))
  value(await account.rename('Box', 'Other'))
  value(await account.create('Box'))
  const second = value(await opened.store.deliver(ann, 'Box', { flags: [] }))
  await second.write(message('second'))
  const placed = await first.commitWith?.([second])
  expect(placed).toMatchObject({ ok: false, refusal: 'no-such-mailbox' })
  expect(await filesInTmp()).toEqual([])
  expect(value(await account.status('Box')).messages).toBe(0)
  expect(value(await account.status('Other')).messages).toBe(3)
})

test('what a process knew of a mailbox by its old name is let go of', async () => {
  const folder = folderOf(opened.store, '.Box')
  await box.recall?.(1 as Uid)
  box.remember?.(1 as Uid, 'a note')
  expect(folder?.notes.bytes).toBeGreaterThan(0)
  value(await account.rename('Box', 'Other'))
  await box.recall?.(2 as Uid)
  await box.close()
  expect(folder).toMatchObject({ users: 0, notes: { bytes: 0 } })
})

describe('renamed in the middle of', () => {
  /** What is done before a call of the file system, once, when it is the one that was waited for. */
  let interrupt: ((call: string, path: string) => Promise<unknown> | undefined) | undefined
  let mine: MaildirStore
  let own: Mailbox

  beforeEach(async () => {
    const disk = new Proxy<Disk>(fs, {
      get(target, call: keyof Disk) {
        const member: unknown = Reflect.get(target, call, target)
        if (typeof member !== 'function') return member
        return async (...args: unknown[]): Promise<unknown> => {
          const meanwhile = interrupt?.(call, String(call === 'rename' || call === 'symlink' ? args[1] : args[0]))
          if (meanwhile !== undefined) interrupt = undefined
          await meanwhile
          return Reflect.apply(member, target, args)
        }
      },
    })
    mine = (await openTestStore({ root: opened.root, disk })).store
    own = value(await (await mine.openAccount(ann)).open('Box', 'read-write'))
  })
  afterEach(async () => {
    interrupt = undefined
    await own.close()
    await mine.close()
  })

  test('a move: the messages go all the same', async () => {
    interrupt = (...call) => (isLocked('Box')(...call) ? others.rename('Box', 'Other') : undefined)
    expect(value(await own.move([1, 3] as Uid[], 'INBOX')).from).toEqual([1, 3])
    expect(interrupt).toBeUndefined()
    expect(await own.refresh()).toEqual({ arrived: [], expunged: [], changed: [] })
    expect([own.name, own.records().map(({ uid }) => uid)]).toEqual(['Other', [2]])
    expect(value(await others.status('INBOX')).messages).toBe(2)
  })

  test('a move, twice: the messages go all the same', async () => {
    const renameOnce = async (): Promise<void> => {
      value(await others.rename('Box', 'Once'))
      interrupt = (...call) => (isLocked('Once')(...call) ? others.rename('Once', 'Twice') : undefined)
    }
    interrupt = (...call) => (isLocked('Box')(...call) ? renameOnce() : undefined)
    expect(value(await own.move([1, 3] as Uid[], 'INBOX')).from).toEqual([1, 3])
    expect(interrupt).toBeUndefined()
    expect(await own.refresh()).toEqual({ arrived: [], expunged: [], changed: [] })
    expect([own.name, own.records().map(({ uid }) => uid)]).toEqual(['Twice', [2]])
  })

  test('a move, and deleted: nothing is moved', async () => {
    interrupt = (...call) => (isLocked('Box')(...call) ? others.delete('Box') : undefined)
    expect(refusal(await own.move([1, 3] as Uid[], 'INBOX'))).toBe('no-such-mailbox')
    expect(interrupt).toBeUndefined()
    expect(value(await others.status('INBOX')).messages).toBe(0)
  })

  test('a move into it, there and back: it is one mailbox', async () => {
    for (const [from = '', to = ''] of [
      ['Box', 'Other'],
      ['Other', 'Box'],
    ])
      value(await (await mine.openAccount(ann)).rename(from, to))
    expect(value(await own.move([1] as Uid[], 'Box')).to).toEqual([4])
  })

  test('the search for it: it is found all the same', async () => {
    value(await others.rename('Box', 'Once'))
    interrupt = (call, path) =>
      call === 'lstat' && path.endsWith('/.Once') ? others.rename('Once', 'Twice') : undefined
    await own.refresh()
    expect(interrupt).toBeUndefined()
    expect(own.name).toBe('Twice')
  })

  test('the search for what waits in it: it is delivered all the same', async () => {
    const writer = value(await mine.deliver(ann, 'Box', { flags: [] }))
    await writer.write(message('late'))
    value(await others.rename('Box', 'Once'))
    interrupt = (call, path) =>
      call === 'lstat' && path.includes('/.Once/tmp/') ? others.rename('Once', 'Twice') : undefined
    expect(value(await writer.commit())).toEqual({ uidValidity: box.uidValidity, uid: 4 })
    expect(interrupt).toBeUndefined()
    expect(value(await others.status('Twice')).messages).toBe(4)
  })

  test('a look that its session does not wait for: each folder is released once', async () => {
    const another = value(await (await mine.openAccount(ann)).open('Box', 'read-write'))
    const before = folderOf(mine, '.Box')
    value(await others.rename('Box', 'Other'))
    interrupt = (call, path) => (call === 'opendir' && path.endsWith('/.Other/cur') ? own.close() : undefined)
    await expect(own.refresh()).rejects.toBeInstanceOf(MailboxGoneError)
    expect(interrupt).toBeUndefined()
    expect(before?.users).toBe(1)
    expect(folderOf(mine, '.Other')?.users).toBe(0)
    await another.close()
  })
})

/** The mailbox's lock is about to be taken: whoever has it keeps all others of ours from renaming. */
const isLocked = (name: string) => (call: string, path: string) =>
  call === 'symlink' && path.includes(`/.${name}/postern-uidlist.lock`)

/** As this process has it. */
function folderOf(store: MaildirStore, name: string): Folder | undefined {
  return (store as unknown as FolderPool).find(join(opened.maildir, name))
}

/** Of all mailboxes. */
async function filesInTmp(): Promise<readonly string[]> {
  const paths = await filesBelow(opened.maildir)
  return paths.filter((path) => path.slice(opened.maildir.length).includes('/tmp/'))
}
