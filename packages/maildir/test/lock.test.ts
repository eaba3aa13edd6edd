import { spawn } from 'node:child_process'
import { once } from 'node:events'
import * as disk from 'node:fs/promises'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { limits } from '../src/limits.ts'
import { LockFiles } from '../src/lock.ts'

/** Starts and kills a process: its id belongs to nobody for a while. */
async function deadPid(): Promise<number> {
  const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'])
  child.kill('SIGKILL')
  await once(child, 'exit')
  return child.pid ?? 0
}

const nonceOf = (text: string) => text.split(':').at(-2)

describe('a lock file', () => {
  let folder: string
  let path: string
  let broken: string[]
  const locksWith = (changes: Partial<typeof limits> = {}) =>
    new LockFiles(disk, { ...limits, ...changes }, (_, owner) => {
      broken.push(owner)
    })
  beforeEach(async () => {
    folder = await disk.mkdtemp(join(tmpdir(), 'postern-lock-'))
    path = join(folder, 'a.lock')
    broken = []
  })
  afterEach(async () => {
    await disk.rm(folder, { recursive: true, force: true })
  })

  /** This process's own sentence with some fields changed. */
  async function ownerText(changes: { pid?: number; start?: string; space?: string; host?: string }): Promise<string> {
    const locks = locksWith()
    const lock = await locks.acquire(path)
    await locks.release(lock, path)
    const [pid, start, space, boot, nonce, host] = lock.text.split(':')
    return [changes.pid ?? pid, changes.start ?? start, changes.space ?? space, boot, nonce, changes.host ?? host].join(
      ':',
    )
  }

  test('has one holder at a time', async () => {
    const locks = locksWith()
    let inside = 0
    let most = 0
    await Promise.all(
      Array.from({ length: 20 }, async () => {
        const lock = await locks.acquire(path)
        inside += 1
        most = Math.max(most, inside)
        await disk.lstat(folder)
        inside -= 1
        await locks.release(lock, path)
      }),
    )
    expect(most).toBe(1)
    expect(await disk.readdir(folder)).toEqual([])
  })

  test('ST-02: takes no block of a disk that is full: an inode holds 59 characters', async () => {
    const locks = locksWith()
    const lock = await locks.acquire(path)
    expect(lock.text.length).toBeLessThanOrEqual(59)
    expect((await disk.lstat(path)).size).toBe(lock.text.length)
    await locks.release(lock, path)
  })

  test('of a living process is never broken: the wait ends with a refusal', async () => {
    const locks = locksWith({ lockWaitMs: 30, foreignLockMs: 0 })
    const lock = await locks.acquire(path)
    await expect(locks.acquire(path)).rejects.toMatchObject({ code: 'MAILDIR_LOCK_BUSY' })
    expect(await disk.readlink(path)).toBe(lock.text)
  })

  test('ST-06: of a dead process is broken at once', async () => {
    await disk.symlink(await ownerText({ pid: await deadPid() }), path)
    const locks = locksWith()
    await locks.release(await locks.acquire(path), path)
    expect(broken).toHaveLength(1)
    expect(await disk.readdir(folder)).toEqual([])
  })

  test('ST-06: of a process whose id was given to another one is broken at once', async () => {
    await disk.symlink(await ownerText({ pid: process.ppid, start: '1' }), path)
    const locks = locksWith()
    await locks.release(await locks.acquire(path), path)
    expect(broken).toHaveLength(1)
  })

  test.each([
    ['of another machine', { host: 'elsewhere', space: '1' }],
    ['of another PID namespace on this machine', { host: hostname(), space: '1' }],
  ])('%s is broken only when it stood for long', async (_, changes) => {
    const text = await ownerText({ ...changes, pid: await deadPid() })
    await disk.symlink(text, path)
    await expect(locksWith({ lockWaitMs: 30 }).acquire(path)).rejects.toMatchObject({ code: 'MAILDIR_LOCK_BUSY' })
    expect(broken).toEqual([])
    const patient = locksWith({ foreignLockMs: 20 })
    await patient.release(await patient.acquire(path), path)
    expect(broken).toEqual([text])
  })

  test('is no file to follow: what another program put there counts as held', async () => {
    await disk.writeFile(path, 'busy')
    await expect(locksWith({ lockWaitMs: 10 }).acquire(path)).rejects.toMatchObject({ code: 'MAILDIR_LOCK_BUSY' })
  })

  test('ST-06: many find it stale at once: one breaks it, and there is one holder at a time', async () => {
    for (let round = 0; round < 10; round++) {
      await disk.symlink(await ownerText({ pid: await deadPid() }), path)
      let inside = 0
      const many = Array.from({ length: 16 }, async () => {
        const locks = locksWith()
        const lock = await locks.acquire(path)
        inside += 1
        expect(inside).toBe(1)
        expect(await disk.readlink(path)).toBe(lock.text)
        inside -= 1
        await locks.release(lock, path)
      })
      await Promise.all(many)
      expect(broken).toHaveLength(round + 1)
    }
  })

  test('ST-06: a breaker that died on the way is succeeded', async () => {
    const dead = await deadPid()
    const held = await ownerText({ pid: dead })
    const breaker = await ownerText({ pid: dead })
    const second = await ownerText({ pid: dead })
    await disk.symlink(held, path)
    await disk.symlink(breaker, `${path}.${nonceOf(held)}`)
    await disk.symlink(second, `${path}.${nonceOf(breaker)}`)
    const locks = locksWith()
    await locks.release(await locks.acquire(path), path)
    expect(broken).toEqual([held])
    expect(await disk.readdir(folder)).toEqual([])
  })

  test.each([
    ['after the wait', undefined],
    ['at once, when nobody is to be waited for', 0],
  ])('ST-06: of a dead process, when its breaker is stopped on the way: refused %s', async (_, waitMs) => {
    const held = await ownerText({ pid: await deadPid() })
    const breaker = await ownerText({})
    await disk.symlink(held, path)
    await disk.symlink(breaker, `${path}.${nonceOf(held)}`)
    const locks = locksWith({ lockWaitMs: 30 })
    await expect(locks.acquire(path, disk, waitMs)).rejects.toMatchObject({ code: 'MAILDIR_LOCK_BUSY' })
    expect(await disk.readlink(path)).toBe(held)
  })

  test('ST-06: of a dead process is broken also by who waits for nobody', async () => {
    await disk.symlink(await ownerText({ pid: await deadPid() }), path)
    const locks = locksWith()
    await locks.release(await locks.acquire(path, disk, 0), path)
    expect(broken).toHaveLength(1)
  })

  test('ST-06: of a dead process, when the disk refuses once to remove it: whoever tries next breaks it', async () => {
    const dead = await deadPid()
    const held = await ownerText({ pid: dead })
    const breaker = await ownerText({ pid: dead })
    await disk.symlink(held, path)
    await disk.symlink(breaker, `${path}.${nonceOf(held)}`)
    let hasFailed = false
    const unlink: typeof disk.unlink = async (name) => {
      if (name === path && !hasFailed) {
        hasFailed = true
        throw Object.assign(new Error('EIO'), { code: 'EIO' })
      }
      await disk.unlink(name)
    }
    const locks = new LockFiles({ ...disk, unlink }, { ...limits, lockWaitMs: 30 }, (_, owner) => {
      broken.push(owner)
    })
    await expect(locks.acquire(path)).rejects.toMatchObject({ code: 'EIO' })
    // What the dead ones left is there still, and nothing of ours.
    expect(await disk.readdir(folder)).toHaveLength(2)
    await locks.release(await locks.acquire(path), path)
    expect(broken).toEqual([held])
    expect(await disk.readdir(folder)).toEqual([])
  })

  test('that was taken over is not released by its former holder', async () => {
    const locks = locksWith()
    const first = await locks.acquire(path)
    await disk.unlink(path)
    const second = await locks.acquire(path)
    await locks.release(first, path)
    expect(await disk.readlink(path)).toBe(second.text)
  })

  test('in a folder that is gone says so', async () => {
    await expect(locksWith().acquire(join(folder, 'gone', 'a.lock'))).rejects.toMatchObject({ code: 'ENOENT' })
  })
})
