/** What other programs do to a Maildir, and what a session then sees. */
import { execFileSync } from 'node:child_process'
import * as disk from 'node:fs/promises'
import { join } from 'node:path'
import { MailboxGoneError, type Account, type Mailbox, type Uid } from '@postern/core'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { limits, type Disk } from '../src/index.ts'
import { append, message, nothing, textOf, value } from './conformance.ts'
import { ann, openTestStore, type TestStore } from './kit.ts'

const textsOf = (mailbox: Mailbox) =>
  Promise.all(mailbox.records().map(async ({ uid }) => [uid, await textOf(mailbox, uid)]))

describe('files of other programs', () => {
  let opened: TestStore
  let account: Account
  let inbox: Mailbox
  const begin = async (options: Parameters<typeof openTestStore>[0] = {}) => {
    opened = await openTestStore(options)
    account = await opened.store.openAccount(ann)
    inbox = value(await account.open('INBOX', 'read-write'))
  }
  const at = (...path: string[]) => join(opened.maildir, ...path)
  const put = async (name: string, content = message(name).toString(), folder = 'new') => {
    await disk.writeFile(at(folder, name), content)
  }
  const uids = (): readonly Uid[] => inbox.records().map(({ uid }) => uid)
  const firstFile = async () => (await disk.readdir(at('cur')))[0] ?? ''
  beforeEach(() => begin())
  afterEach(() => opened.end())

  test.each(['deleted', 'renamed'])('a mailbox that is %s while it is looked at', async (how) => {
    await opened.end()
    let onRead: (() => Promise<unknown>) | undefined
    const opendir = (async (path: string, options: object) => {
      const act = path.endsWith('/cur') ? onRead : undefined
      onRead = act === undefined ? onRead : undefined
      await act?.()
      return disk.opendir(path, options)
    }) as Disk['opendir']
    await begin({ disk: { ...disk, opendir } })
    value(await account.create('Box'))
    const box = value(await account.open('Box', 'read-write'))
    // A folder that nobody changed is not read.
    await put('1.foreign', undefined, join('.Box', 'cur'))
    const other = await openTestStore({ root: opened.root })
    const others = await other.store.openAccount(ann)
    onRead = () => (how === 'deleted' ? others.delete('Box') : others.rename('Box', 'Other'))
    const looked = await box.refresh().catch((error: unknown) => error)
    expect(looked instanceof MailboxGoneError).toBe(how === 'deleted')
    expect(box.name).toBe(how === 'deleted' ? 'Box' : 'Other')
    expect(onRead).toBeUndefined()
    await box.close()
    await other.store.close()
  })

  test('of two messages that come while a folder is read only the second is seen: neither is told before both are', async () => {
    await opened.end()
    let onRead: (() => Promise<unknown>) | undefined
    const opendir = (async (path: string, options: object) => {
      const act = path.endsWith('/new') ? onRead : undefined
      if (act === undefined) return disk.opendir(path, options)
      onRead = undefined
      await act()
      // As POSIX allows of names that come while a folder is read.
      const entries = await disk.readdir(path, { withFileTypes: true })
      return entries.filter(({ name }) => name !== first)
    }) as unknown as Disk['opendir']
    let first = ''
    await begin({ disk: { ...disk, opendir } })
    await append(opened.store, ann, 'INBOX', 'one', { flags: ['\\Flagged'] })
    await append(opened.store, ann, 'INBOX', 'two')
    await inbox.refresh()
    const other = await openTestStore({ root: opened.root })
    const theirs = value(await (await other.store.openAccount(ann)).open('INBOX', 'read-only'))
    onRead = async () => {
      value(await theirs.copy([1, 2] as Uid[], 'INBOX'))
      first = (await disk.readdir(at('new'))).find((name) => name.endsWith(':2,F')) ?? ''
    }
    const told: number[] = []
    for (let look = 0; look < 3; look++) {
      const next = inbox.uidNext()
      const { arrived } = await inbox.refresh()
      told.push(...arrived.map(({ uid }) => uid))
      for (const { uid } of arrived) expect(uid).toBeGreaterThanOrEqual(next)
      await put('touch', undefined, 'tmp')
    }
    expect(onRead).toBeUndefined()
    expect(first).not.toBe('')
    expect(told).toEqual([3, 4])
    await other.store.close()
  })

  test('a keyword that another process has just given is taken away by who did not look since', async () => {
    await append(opened.store, ann, 'INBOX', 'one')
    await inbox.refresh()
    const other = await openTestStore({ root: opened.root })
    const theirs = value(await (await other.store.openAccount(ann)).open('INBOX', 'read-write'))
    value(await theirs.setFlags([1 as Uid], { op: 'add', flags: ['$New'] }))
    const { messages } = value(await inbox.setFlags([1 as Uid], { op: 'remove', flags: ['$New'] }))
    expect(messages.map(({ flags }) => flags)).toEqual([[]])
    await theirs.close()
    await other.store.close()
  })

  test('LF line ends are shown as CRLF, with the size to match', async () => {
    const lf = 'Subject: lf\n\nline\r\nmixed\n\n'
    await put('1.foreign', lf)
    await inbox.refresh()
    const [record] = inbox.records()
    const crlf = 'Subject: lf\r\n\r\nline\r\nmixed\r\n\r\n'
    expect(record?.bytes).toBe(crlf.length)
    expect(await textOf(inbox, 1 as Uid)).toBe(crlf)
  })

  test('any LF file reads the same at any offset, whatever the chunk size', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.string({ unit: fc.constantFrom('\r', '\n', 'a', 'bc'), minLength: 1, maxLength: 60 }),
        fc.integer({ min: 1, max: 9 }),
        fc.nat(70),
        fc.nat(70),
        async (text, chunkBytes, offset, length) => {
          await opened.end()
          await begin({ limits: { chunkBytes } })
          await put('1.foreign', text)
          await inbox.refresh()
          const expected = text.replaceAll(/(?<!\r)\n/g, '\r\n')
          const content = await inbox.content(1 as Uid)
          expect(content?.bytes).toBe(expected.length)
          expect((await content?.read(offset, length))?.toString()).toBe(expected.slice(offset, offset + length))
          await content?.close()
        },
      ),
      { numRuns: 40 },
    )
  })

  test('ST-14: flags renamed, moves from new to cur and deletions are seen, and UIDs are kept', async () => {
    await append(opened.store, ann, 'INBOX', 'one')
    const [one] = await disk.readdir(at('new'))
    await append(opened.store, ann, 'INBOX', 'two')
    // Microseconds are not padded, so names are not in order of arrival.
    const two = (await disk.readdir(at('new'))).find((name) => name !== one)
    await inbox.refresh()
    await disk.rename(at('cur', `${one}:2,`), at('cur', `${one}:2,RS`))
    expect((await inbox.refresh()).changed.map(({ uid, flags }) => [uid, flags])).toEqual([
      [1, ['\\Answered', '\\Seen']],
    ])
    await put('3.foreign')
    await disk.rename(at('new', '3.foreign'), at('cur', '3.foreign:2,F'))
    expect((await inbox.refresh()).arrived.map(({ uid, flags }) => [uid, flags])).toEqual([[3, ['\\Flagged']]])
    await disk.unlink(at('cur', `${two}:2,`))
    expect(await inbox.refresh()).toEqual({ ...nothing, expunged: [2] })
  })

  test('ST-14: a delivery and a flag of another program are hinted', async () => {
    for (const change of [
      () => put('9.foreign'),
      async () => {
        await inbox.refresh()
        await disk.rename(at('cur', '9.foreign:2,'), at('cur', '9.foreign:2,S'))
      },
    ]) {
      const hinted = Promise.withResolvers<void>()
      const end = inbox.watch(hinted.resolve)
      await change()
      await expect(hinted.promise).resolves.toBeUndefined()
      end()
    }
  })

  test('ST-14: no bound lets a change of another program wait for two seconds', () => {
    const { ownChangeRescanMs, pollMs, hintDebounceMs } = limits
    expect(ownChangeRescanMs + hintDebounceMs).toBeLessThan(2_000)
    expect(pollMs + hintDebounceMs).toBeLessThan(2_000)
  })

  test('a message absent from one reading of the folder is not expunged', async () => {
    await append(opened.store, ann, 'INBOX', 'one', { flags: ['\\Seen'] })
    await append(opened.store, ann, 'INBOX', 'two', { flags: ['\\Seen'] })
    let hide = 0
    const [hidden] = await disk.readdir(at('cur'))
    // A folder that is read while a file is renamed may show it under neither name.
    const opendir = (async (path: string, options?: Parameters<typeof disk.opendir>[1]) => {
      const entries = []
      for await (const entry of await disk.opendir(path, options)) entries.push(entry)
      return path.endsWith('/cur') && hide-- > 0 ? entries.filter(({ name }) => name !== hidden) : entries
    }) as unknown as Disk['opendir']
    await opened.store.close()
    const blinking = await openTestStore({ root: opened.root, disk: { ...disk, opendir } })
    inbox = value(await (await blinking.store.openAccount(ann)).open('INBOX', 'read-write'))
    expect(uids()).toEqual([1, 2])
    hide = 1
    await put('3.foreign', undefined, 'cur')
    expect((await inbox.refresh()).expunged).toEqual([])
    expect(uids()).toEqual([1, 2, 3])
    await blinking.store.close()
  })

  test('while others rename without pause nothing is taken for gone', async () => {
    const count = 200
    for (let made = 0; made < count; made++) await put(`${made}.foreign:2,`, 'Subject: x\r\n\r\n', 'cur')
    await inbox.refresh()
    const renaming = (async () => {
      for (let round = 0; round < 6; round++) {
        for (let made = 0; made < count; made++) {
          const [from, to] = round % 2 === 0 ? ['', 'S'] : ['S', '']
          await disk.rename(at('cur', `${made}.foreign:2,${from}`), at('cur', `${made}.foreign:2,${to}`))
        }
      }
      return 'done' as const
    })()
    let looks = 0
    const looking = async (): Promise<'done'> => {
      for (;;) {
        const winner = await Promise.race([renaming, inbox.refresh()])
        if (winner === 'done') return winner
        expect(winner.expunged).toEqual([])
        looks += 1
      }
    }
    await looking()
    expect(await renaming).toBe('done')
    expect(looks).toBeGreaterThan(1)
    await inbox.refresh()
    expect(uids()).toHaveLength(count)
    expect(uids().at(-1)).toBe(count)
  })

  test('a base name that comes back after it was expunged is a new message', async () => {
    await put('1.foreign')
    await inbox.refresh()
    await disk.unlink(at('cur', '1.foreign:2,'))
    await inbox.refresh()
    await put('1.foreign')
    await inbox.refresh()
    expect(uids()).toEqual([2])
  })

  test('MB-08: two messages with one base name are both kept, and the known one keeps its UID', async () => {
    await put('1.foreign', 'Subject: first\r\n\r\n')
    await inbox.refresh()
    await put('1.foreign', 'Subject: other\r\n\r\n')
    await inbox.refresh()
    await inbox.refresh()
    expect(uids()).toEqual([1, 2])
    expect(await textOf(inbox, 1 as Uid)).toContain('first')
    expect(await textOf(inbox, 2 as Uid)).toContain('other')
    expect(opened.problems.map(({ kind }) => kind)).toContain('duplicate-name')
  })

  test('MB-08: a second name of one file is never unlinked: it is a message of its own', async () => {
    await put('1.foreign:2,S', undefined, 'cur')
    await inbox.refresh()
    await disk.link(at('cur', '1.foreign:2,S'), at('new', '1.foreign'))
    await inbox.refresh()
    await inbox.refresh()
    expect(uids()).toEqual([1, 2])
    expect(await textOf(inbox, 1 as Uid)).toBe(await textOf(inbox, 2 as Uid))
  })

  test.each([
    ['bytes that are no UTF-8', Buffer.from([0x31, 0x2e, 0xff, 0xfe])],
    ['a line end', Buffer.from('1.a\nb')],
    ['no time', Buffer.from('mail')],
    ['300 flags', Buffer.from(`1.x:2,${'S'.repeat(240)}`)],
    ['a size that lies', Buffer.from('1.x,S=1,W=9')],
    ['a size that lies about line ends', Buffer.from('1.x,S=17,W=17')],
  ])('MB-08: a name with %s is served by its real size', async (_, name) => {
    const text = 'Subject: x\r\n\r\nhello\r\n'
    await disk.writeFile(Buffer.concat([Buffer.from(`${at('new')}/`), name]), text)
    await inbox.refresh()
    expect(inbox.records()[0]?.bytes).toBe(text.length)
    expect(await textOf(inbox, 1 as Uid)).toBe(text)
    value(await inbox.setFlags([1 as Uid], { op: 'replace', flags: ['\\Seen', '\\Deleted'] }))
    expect(value(await inbox.expunge())).toEqual([1])
    expect(await disk.readdir(at('cur'))).toEqual([])
  })

  test('MB-07: a folder, a FIFO, an empty and a sparse file of 10 GiB are skipped, and reported once', async () => {
    await disk.mkdir(at('cur', 'folder:2,S'))
    execFileSync('mkfifo', [at('new', 'fifo')])
    await put('empty', '')
    await put('sparse', 'x')
    await disk.truncate(at('new', 'sparse'), 10 * 1024 ** 3)
    await put('5.real')
    await inbox.refresh()
    await put('6.real')
    await inbox.refresh()
    expect(inbox.records()).toHaveLength(2)
    const skipped = opened.problems.filter(({ kind }) => kind === 'skipped-file').map(({ detail }) => detail)
    expect(skipped).toHaveLength(4)
  })

  test('MB-06: a link in place of a message, of cur, of a mailbox or of an account is not followed', async () => {
    const secret = join(opened.root, 'secret')
    await disk.writeFile(secret, 'Subject: secret\r\n\r\n')
    await disk.symlink(secret, at('new', '1.link'))
    await inbox.refresh()
    expect(inbox.records()).toEqual([])

    await put('2.real')
    await inbox.refresh()
    const file = await firstFile()
    await disk.unlink(at('cur', file))
    await disk.symlink(secret, at('cur', file))
    await expect(inbox.content(uids()[0] ?? (0 as Uid))).rejects.toThrow(/ELOOP|MAILDIR_SYMLINK/)

    const bob = value(await opened.store.createAccount('bob@example.org'))
    expect(bob).toBeUndefined()
    await append(opened.store, 'bob@example.org', 'INBOX', 'for bob')
    const bobs = join(opened.root, 'bob@example.org', 'Maildir')
    await disk.symlink(bobs, at('.Stolen'))
    expect((await account.open('Stolen', 'read-only')).ok).toBe(false)
    expect((await opened.store.deliver(ann, 'Stolen', { flags: [] })).ok).toBe(false)
    expect((await account.list()).map(({ name }) => name)).toEqual(['INBOX'])

    value(await account.create('Mine'))
    for (const folder of ['cur', 'new', 'tmp']) {
      await disk.rm(at('.Mine', folder), { recursive: true })
      await disk.symlink(join(bobs, folder), at('.Mine', folder))
    }
    expect((await account.open('Mine', 'read-only')).ok).toBe(false)
    expect((await opened.store.deliver(ann, 'Mine', { flags: [] })).ok).toBe(false)

    await disk.symlink(join(opened.root, 'bob@example.org'), join(opened.root, 'eve@example.org'))
    expect(await opened.store.exists('eve@example.org')).toBe(false)
    await expect(opened.store.openAccount('eve@example.org')).rejects.toMatchObject({ code: 'MAILDIR_NO_ACCOUNT' })
  })

  test('MB-06: what becomes a link and a file again, all the while it is opened, is never followed', async () => {
    const secret = join(opened.root, 'secret')
    await disk.writeFile(secret, 'Subject: secret\r\n\r\n')
    await put('1.real')
    await inbox.refresh()
    const file = await firstFile()
    const real = await disk.readFile(at('cur', file))
    const over = new AbortController()
    const swapping = (async (): Promise<void> => {
      while (!over.signal.aborted) {
        await disk.symlink(secret, at('tmp', 'link'))
        await disk.rename(at('tmp', 'link'), at('cur', file))
        await disk.writeFile(at('tmp', 'real'), real)
        await disk.rename(at('tmp', 'real'), at('cur', file))
      }
    })()
    const read = { real: 0, refused: 0 }
    const others: string[] = []
    for (let round = 0; round < 1_000; round++) {
      try {
        const content = await inbox.content(uids()[0] ?? (0 as Uid))
        const bytes = await content?.read(0, 100)
        await content?.close()
        if (bytes?.equals(real) === true) read.real++
        else others.push(`${bytes?.toString()}`)
      } catch (error) {
        if (/ELOOP|MAILDIR_SYMLINK/.test(String(error))) read.refused++
        else others.push(String(error))
      }
    }
    over.abort()
    await swapping
    expect(others).toEqual([])
    // Both were met, or this was no race.
    expect(Math.min(read.real, read.refused)).toBeGreaterThan(0)
  })

  test('MB-09: a file cut short while it is open gives fewer bytes; opened again, its real size', async () => {
    const { uid } = await append(opened.store, ann, 'INBOX', 'one')
    await inbox.refresh()
    const content = await inbox.content(uid)
    await disk.truncate(at('cur', await firstFile()), 9)
    expect((await content?.read(0, 100))?.toString()).toBe('Subject: ')
    await content?.close()
    const again = await inbox.content(uid)
    expect(again?.bytes).toBe(9)
    await again?.close()
  })

  test('folders that Dovecot or Courier made are mailboxes; what has no canonical name is not', async () => {
    for (const folder of ['.Work', '.Work.2026', '.Entw&APw-rfe', '.a&AC8-b', '.&AGE-', '.INBOX']) {
      await disk.mkdir(at(folder, 'cur'), { recursive: true })
    }
    await disk.writeFile(at('.Work', 'cur', '1.x:2,Sa'), 'Subject: x\n\n')
    await disk.writeFile(at('.Work', 'dovecot-keywords'), '0 $Label1\nrubbish\n99 x\n')
    await disk.writeFile(at('subscriptions'), 'Work.2026\nINBOX\nV\t2\n')
    const names = (await account.list()).map(({ name, isSubscribed }) => (isSubscribed ? `${name} *` : name))
    expect(names).toEqual(['INBOX *', 'Entwürfe', 'Work', 'Work/2026 *'])
    const work = value(await account.open('Work', 'read-write'))
    expect(work.records()[0]?.flags).toEqual(['\\Seen', '$Label1'])
    expect(await append(opened.store, ann, 'Work', 'two')).toMatchObject({ uid: 2 })
  })

  describe.each([
    [
      'a file that is larger than any table',
      (path: string) => disk.writeFile(path, Buffer.alloc(limits.maxTableBytes + 1)),
    ],
    ['a pipe', async (path: string) => void execFileSync('mkfifo', [path])],
  ])('%s', (_, make) => {
    test.each([
      ['subscriptions', () => account.subscribe('Lists', true)],
      ['dovecot-keywords', () => inbox.setFlags(uids(), { op: 'add', flags: ['kept'] })],
    ])('in place of %s is not read, and stays', async (name, change) => {
      await put('1.foreign')
      await inbox.refresh()
      await make(at(name))
      const { ino } = await disk.lstat(at(name))
      expect(await change()).toMatchObject({ ok: false, refusal: 'unavailable' })
      expect((await disk.lstat(at(name))).ino).toBe(ino)
      expect(await account.list()).toMatchObject([{ name: 'INBOX', isSubscribed: false }])
    })

    test('in place of special uses, and of the counter of UIDVALIDITY, is replaced', async () => {
      await disk.rm(at('postern-uidvalidity'))
      for (const name of ['postern-uidvalidity', 'postern-special-use']) await make(at(name))
      value(await account.create('Work', '\\Archive'))
      expect((await account.list()).at(-1)?.attributes).toContain('\\Archive')
      const work = value(await account.open('Work', 'read-only'))
      expect(work.uidValidity).toBeGreaterThan(inbox.uidValidity)
    })
  })

  test('a file of another program has an id, and a save date if its name tells one', async () => {
    for (const name of ['1700000000.1.host:2,S', 'strange name:2,']) {
      await disk.writeFile(at('cur', name), 'Subject: x\n\nx\n')
    }
    await inbox.refresh()
    const dates = inbox.records().map(({ savedDate }) => savedDate)
    expect(dates).toContainEqual(new Date(1_700_000_000_000))
    expect(dates).toContainEqual(undefined)
    expect(new Set(inbox.records().map(({ emailId }) => emailId)).size).toBe(2)
  })

  test('the 91st keyword is refused, and a copy leaves out what its target has no room for', async () => {
    const { uid } = await append(opened.store, ann, 'INBOX', 'one', { flags: ['rare', '\\Seen'] })
    await inbox.refresh()
    value(await account.create('Full'))
    const names = Array.from({ length: 90 }, (_, number) => `k${number}`)
    await append(opened.store, ann, 'Full', 'one', { flags: names })
    const full = value(await account.open('Full', 'read-write'))
    expect(await full.setFlags([1 as Uid], { op: 'add', flags: ['k90'] })).toMatchObject({ refusal: 'limit' })
    expect(await opened.store.deliver(ann, 'Full', { flags: ['k90'] })).toMatchObject({ refusal: 'limit' })
    expect(new Set(full.records()[0]?.flags)).toEqual(new Set(names))
    value(await inbox.copy([uid], 'Full'))
    await full.refresh()
    expect(full.records()[1]?.flags).toEqual(['\\Seen'])
  })

  test('MB-02: no account or mailbox name leads outside the root', async () => {
    const outer = opened
    await begin({ root: await disk.mkdtemp(join(outer.root, 'inner-')) })
    const before = await disk.readdir(outer.root)
    for (const name of ['../x@example.org', '/etc/x@example.org', 'a/../b@example.org', 'a\0b', '.', '..']) {
      expect(await opened.store.deliver(name, 'INBOX', { flags: [] })).toMatchObject({ refusal: 'no-such-mailbox' })
      value(await opened.store.createAccount(name))
      await append(opened.store, name, 'INBOX', 'one')
      await append(opened.store, name, 'INBOX', 'two')
    }
    expect(await disk.readdir(outer.root)).toEqual(before)
    expect(await disk.readdir(opened.root)).toHaveLength(7)
    await outer.end()
  })

  test('a UID list that is made anew between two takes of the lock: nothing that is taken from `new` keeps a UID of before', async () => {
    await opened.end()
    let locks = Number.NEGATIVE_INFINITY
    let meanwhile: (() => Promise<void>) | undefined
    const symlink: Disk['symlink'] = async (target, path) => {
      locks += 1
      if (locks === 2) await meanwhile?.()
      return disk.symlink(target, path)
    }
    await begin({ disk: { ...disk, symlink }, limits: { messagesPerLock: 1 } })
    await append(opened.store, ann, 'INBOX', 'stays')
    await inbox.refresh()
    const stays = await firstFile()
    for (const subject of ['one', 'two', 'three', 'four']) await append(opened.store, ann, 'INBOX', subject)
    const other = await openTestStore({ root: opened.root })
    let there: Mailbox | undefined
    meanwhile = async () => {
      // The first one is in `cur` by now. Without it the others have other UIDs in the list that is made next.
      const taken = (await disk.readdir(at('cur'))).find((name) => name !== stays) ?? ''
      await disk.unlink(at('cur', taken))
      await disk.rm(at('postern-uidlist'))
      there = value(await (await other.store.openAccount(ann)).open('INBOX', 'read-only'))
    }
    locks = 0
    await expect(inbox.refresh()).rejects.toThrow(MailboxGoneError)
    const again = value(await account.open('INBOX', 'read-write'))
    await there!.refresh()
    expect(await textsOf(again)).toHaveLength(4)
    expect(await textsOf(again)).toEqual(await textsOf(there!))
    await other.store.close()
  })

  test('ST-13: abandoned files in tmp are removed, those under way are not', async () => {
    await opened.store.close()
    await put('live', 'x', 'tmp')
    await put('stale', 'x', 'tmp')
    await disk.utimes(at('tmp', 'live'), new Date(0), new Date(0))
    const day = 24 * 3_600_000
    const lstat = (async (path: string, options?: Parameters<typeof disk.lstat>[1]) => {
      const stats = await disk.lstat(path, options)
      if (path.endsWith('/stale')) stats.ctimeMs = Date.now() - 2 * day
      return stats
    }) as Disk['lstat']
    const next = await openTestStore({ root: opened.root, disk: { ...disk, lstat } })
    value(await (await next.store.openAccount(ann)).status('INBOX'))
    await next.store.close()
    expect(await disk.readdir(at('tmp'))).toEqual(['live'])
  })
})
