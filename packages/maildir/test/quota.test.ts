/* What an account may hold: Maildir++ quotas. */
import { execFileSync } from 'node:child_process'
import * as disk from 'node:fs/promises'
import { join } from 'node:path'
import type { Account, Uid } from '@postern/core'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { openMaildirStore, type Disk, type QuotaLimits } from '../src/index.ts'
import { append, message, refusal, value } from './conformance.ts'
import { ann, openTestStore, type TestStore } from './kit.ts'

const one = message('one').length
let limits: QuotaLimits | undefined
/** Nobody can say what the limits are. */
let isUnknown = false
let opened: TestStore
let account: Account

const at = (...names: string[]) => join(opened.maildir, ...names)
const used = async (): Promise<readonly (number | undefined)[]> => {
  const quota = value((await account.quota?.()) ?? { ok: true, value: undefined })
  return [quota?.storage?.used, quota?.messages?.used]
}

/** Delivers once; the refusal, or `ok`. */
async function tryDelivery(bytes?: number): Promise<string> {
  const begun = await opened.store.deliver(ann, 'INBOX', { flags: [], ...(bytes === undefined ? {} : { bytes }) })
  if (!begun.ok) return begun.refusal
  await begun.value.write(message('one'))
  return refusal(await begun.value.commit())
}

beforeEach(async () => {
  limits = { bytes: 10 * one, messages: 5 }
  isUnknown = false
  opened = await openTestStore({
    quotaOf: () => {
      if (isUnknown) throw new Error('the directory is down')
      return limits
    },
  })
  account = await opened.store.openAccount(ann)
  value(await account.create('Work'))
})
afterEach(() => opened.end())

test('what comes and goes is counted, over all mailboxes', async () => {
  expect(await used()).toEqual([0, 0])
  for (const mailbox of ['INBOX', 'Work']) await append(opened.store, ann, mailbox, 'one', { flags: ['\\Deleted'] })
  expect(await used()).toEqual([2 * one, 2])
  const inbox = value(await account.open('INBOX', 'read-write'))
  value(await inbox.copy([1 as Uid], 'Work'))
  expect(await used()).toEqual([3 * one, 3])
  value(await inbox.move([1 as Uid], 'Work'))
  expect(await used()).toEqual([3 * one, 3])
  const work = value(await account.open('Work', 'read-write'))
  value(await work.expunge([1 as Uid]))
  expect(await used()).toEqual([2 * one, 2])
  expect(value(await account.status('Work')).deletedBytes).toBe(2 * one)
  value(await account.delete('Work'))
  expect(await used()).toEqual([0, 0])
})

test('what would be too much is refused: before it is written where its size is known, at the end where not', async () => {
  for (let count = 0; count < 5; count++) expect(await tryDelivery()).toBe('ok')
  expect(await tryDelivery()).toBe('over-quota')
  limits = { bytes: 6 * one }
  expect(await tryDelivery(one)).toBe('ok')
  expect(await tryDelivery(one)).toBe('over-quota')
  expect(await tryDelivery()).toBe('over-quota')
  const inbox = value(await account.open('INBOX', 'read-write'))
  expect(refusal(await inbox.copy([1 as Uid], 'Work'))).toBe('over-quota')
  // A move takes no more room than before.
  expect(refusal(await inbox.move([1 as Uid], 'Work'))).toBe('ok')
  expect(await disk.readdir(at('tmp'))).toEqual([])
  // And there is room again once something went.
  value(await inbox.setFlags([2 as Uid], { op: 'add', flags: ['\\Deleted'] }))
  value(await inbox.expunge())
  expect(await tryDelivery(one)).toBe('ok')
})

test('limits that nobody can tell keep mail out for now, and what goes is gone all the same', async () => {
  expect(await tryDelivery()).toBe('ok')
  expect(await tryDelivery()).toBe('ok')
  const inbox = value(await account.open('INBOX', 'read-write'))
  value(await inbox.setFlags([1 as Uid], { op: 'add', flags: ['\\Deleted'] }))
  isUnknown = true
  expect(await tryDelivery()).toBe('unavailable')
  expect(refusal(await inbox.copy([2 as Uid], 'Work'))).toBe('unavailable')
  expect(value(await inbox.expunge())).toEqual([1])
  expect(await account.quota?.()).toMatchObject({ ok: false, refusal: 'unavailable' })
  isUnknown = false
  expect(await used()).toEqual([one, 1])
})

test('an account without limits is not counted', async () => {
  limits = undefined
  expect(await tryDelivery()).toBe('ok')
  expect(await account.quota?.()).toEqual({ ok: true, value: undefined })
  await expect(disk.stat(at('maildirsize'))).rejects.toThrow('ENOENT')
})

const text = () => disk.readFile(at('maildirsize'), 'latin1')

describe('maildirsize', () => {
  test('is as Maildir++ has it, and counted anew when the limits change', async () => {
    await tryDelivery()
    expect(await text()).toBe(`${10 * one}S,5C\n0 0\n${one} 1\n`)
    limits = { messages: 7 }
    expect(await used()).toEqual([undefined, 1])
    expect(await text()).toBe(`7C\n${one} 1\n`)
  })

  test.each(['', 'rubbish\n', '980S,5C\nx\n', '980S,5C\n-5 -5\n', '980S,5C\n0 0'])(
    'that is damaged is counted anew: %j',
    async (damage) => {
      await tryDelivery()
      await disk.writeFile(at('maildirsize'), damage.replace('980', String(10 * one)))
      expect(await used()).toEqual([one, 1])
    },
  )

  test('is no pipe to wait for: one that lies there goes, and a message that goes is counted', async () => {
    for (const flags of [['\\Deleted'], []]) await append(opened.store, ann, 'INBOX', 'one', { flags })
    const inbox = value(await account.open('INBOX', 'read-write'))
    await disk.unlink(at('maildirsize'))
    execFileSync('mkfifo', [at('maildirsize')])
    expect(value(await inbox.expunge())).toEqual([1])
    expect(await used()).toEqual([one, 1])
    expect((await disk.lstat(at('maildirsize'))).isFile()).toBe(true)
  })

  test('does not grow for ever, and what other programs did is found before anything is refused', async () => {
    limits = { bytes: 1_000_000, messages: 2 }
    expect(await tryDelivery()).toBe('ok')
    await disk.appendFile(at('maildirsize'), '0 0\n'.repeat(2_000))
    expect(await used()).toEqual([one, 1])
    expect((await text()).length).toBeLessThan(100)
    await tryDelivery()
    for (const name of await disk.readdir(at('new'))) await disk.unlink(at('new', name))
    expect(await tryDelivery()).toBe('ok')
    await disk.writeFile(at('new', 'foreign.without.size'), message('one'))
    await disk.unlink(at('maildirsize'))
    expect(await used()).toEqual([2 * one, 2])
  })
})

test('ST-12: of processes that deliver at once each overruns the quota by one message at most', async () => {
  limits = { messages: 5 }
  const ends = await Promise.all(Array.from({ length: 12 }, () => tryDelivery()))
  const taken = ends.filter((end) => end === 'ok').length
  expect(taken).toBeGreaterThanOrEqual(5)
  expect(await tryDelivery()).toBe('over-quota')
})

test('a mailbox that stays full is counted once, and anew when a file or a folder of it comes or goes', async () => {
  limits = { messages: 2 }
  let readings = 0
  const opendir = (async (...args: Parameters<Disk['opendir']>) => {
    if (/\/(?:new|cur)$/.test(String(args[0]))) readings += 1
    return disk.opendir(...args)
  }) as Disk['opendir']
  const store = openMaildirStore({ root: opened.root, quotaOf: () => limits, disk: { ...disk, opendir } })
  const deliver = async () => {
    const begun = await store.deliver(ann, 'INBOX', { flags: [], bytes: one })
    if (begun.ok) await begun.value.abort()
    return begun.ok
  }
  for (const subject of ['one', 'two']) await append(opened.store, ann, 'INBOX', subject)
  // As after a while: a time that is too near says nothing.
  const longAgo = new Date(Date.now() - 60_000)
  const settle = async () => {
    for (const folder of ['new', 'cur', '.Work/new', '.Work/cur']) await disk.utimes(at(folder), longAgo, longAgo)
  }
  await settle()
  for (let tries = 0; tries < 5; tries += 1) expect(await deliver()).toBe(false)
  expect(readings).toBe(4)
  const [name = ''] = await disk.readdir(at('new'))
  await disk.rename(at('new', name), at('.Work', 'cur', `${name}:2,S`))
  expect(await deliver()).toBe(false)
  expect(readings).toBe(8)
  await disk.unlink(at('.Work', 'cur', `${name}:2,S`))
  expect(await deliver()).toBe(true)
  await store.close()
})
