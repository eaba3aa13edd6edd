import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { FileJournal } from '../../src/destination/delivered-journal.ts'
import { limits } from '../../src/limits.ts'

const pair = { reversePath: 'sue@example.net', forwardPath: 'ann@example.org' }
const other = { ...pair, forwardPath: 'bob@example.org' }
const one = 'a'.repeat(64)
const two = 'b'.repeat(64)

let root: string
let folder: string
let aheadMs = 0
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'postern-journal-'))
  folder = join(root, 'delivered')
  aheadMs = 0
})
afterEach(() => rmSync(root, { recursive: true, force: true }))

function journal(): FileJournal {
  return new FileJournal({ folder, keepMs: 60_000, now: () => Date.now() + aheadMs })
}

describe('the journal of deliveries', () => {
  test('knows nothing before anything was noted, and makes no folder for that', async () => {
    expect(await journal().delivered(pair)).toEqual(new Set())
    await journal().sweep()
    expect(readdirSync(root)).toEqual([])
  })

  test('tells every worker, now and behind a restart, what was noted by one', async () => {
    await journal().note([pair], one)
    await journal().note([pair, other], two)
    const next = journal()
    expect(await next.delivered(pair)).toEqual(new Set([one, two]))
    expect(await next.delivered(other)).toEqual(new Set([two]))
  })

  test('takes a domain however it is spelled, and tells nobody’s address', async () => {
    await journal().note([pair], one)
    const spelled = { reversePath: 'sue@EXAMPLE.net', forwardPath: 'ann@Example.ORG' }
    expect(await journal().delivered(spelled)).toEqual(new Set([one]))
    const [name = ''] = readdirSync(folder)
    expect(name).toMatch(/^[0-9a-f]{64}$/)
    expect(readFileSync(join(folder, name), 'latin1')).toBe(`\n${one}\n`)
    expect([statSync(join(folder, name)).mode & 0o777, statSync(folder).mode & 0o777]).toEqual([0o600, 0o700])
  })

  test.each([
    { ...pair, forwardPath: 'Ann@example.org' },
    { ...pair, reversePath: 'Sue@example.net' },
    { ...pair, reversePath: '' },
    { reversePath: pair.forwardPath, forwardPath: pair.reversePath },
  ])('takes nobody for somebody else: $reversePath to $forwardPath', async (another) => {
    await journal().note([pair], one)
    expect(await journal().delivered(another)).toEqual(new Set())
  })

  test.each(['../../etc/passwd', 'a/b@example.org', '\0', ''])('no address leads anywhere: %j', async (forwardPath) => {
    await journal().note([{ ...pair, forwardPath }], one)
    expect(readdirSync(root)).toEqual(['delivered'])
    expect(readdirSync(folder)).toHaveLength(1)
  })

  test('half a line that a crash left is no message, and hides none', async () => {
    await journal().note([pair], one)
    const [name = ''] = readdirSync(folder)
    writeFileSync(join(folder, name), `\n${one}\n\n${two.slice(0, 30)}`)
    expect(await journal().delivered(pair)).toEqual(new Set([one]))
    await journal().note([pair], two)
    expect(await journal().delivered(pair)).toEqual(new Set([one, two]))
  })

  test('forgets what all have, for every worker, and no more than that; noted again, it is there again', async () => {
    await journal().note([pair, other], one)
    await journal().note([pair], two)
    await journal().forget([pair], one)
    expect(await journal().delivered(pair)).toEqual(new Set([two]))
    expect(await journal().delivered(other)).toEqual(new Set([one]))
    await journal().note([pair], one)
    expect(await journal().delivered(pair)).toEqual(new Set([one, two]))
  })

  test('forgets what no client sends again', async () => {
    await journal().note([pair], one)
    aheadMs = 61_000
    expect(await journal().delivered(pair)).toEqual(new Set())
    await journal().sweep()
    expect(readdirSync(folder)).toEqual([])
  })

  test('sweeps nothing that may be asked for, however many sweep', async () => {
    await journal().note([pair, other], one)
    await Promise.all([journal().sweep(), journal().sweep()])
    expect(readdirSync(folder)).toHaveLength(2)
    aheadMs = 61_000
    await Promise.all([journal().sweep(), journal().sweep()])
    expect(readdirSync(folder)).toEqual([])
  })

  test('leaves alone what is not its own, as lost+found of a disk for itself, and sweeps on', async () => {
    await journal().note([pair, other], one)
    for (const name of ['lost+found', '0'.repeat(64)]) mkdirSync(join(folder, name))
    writeFileSync(join(folder, 'README'), 'somebody was here')
    aheadMs = 61_000
    await journal().sweep()
    expect(readdirSync(folder).toSorted()).toEqual(['0'.repeat(64), 'README', 'lost+found'])
  })

  test('has a bound for one pair: the oldest give way', async () => {
    await journal().note([pair], one)
    const [name = ''] = readdirSync(folder)
    writeFileSync(join(folder, name), `\n${one}\n`.repeat(limits.maxJournalFileBytes / 66 + 1))
    await journal().note([pair], two)
    expect(await journal().delivered(pair)).toEqual(new Set([two]))
  })

  test('a disk that fails is no answer', async () => {
    writeFileSync(folder, 'a file where the folder should be')
    await expect(journal().delivered(pair)).rejects.toThrow('ENOTDIR')
    await expect(journal().note([pair], one)).rejects.toThrow('EEXIST')
    rmSync(folder)
    mkdirSync(folder)
  })
})
