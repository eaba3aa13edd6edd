/*
 * Lock files.
 *
 * A lock is a symbolic link whose target is a sentence about its owner:
 *
 *   postern-uidlist.lock -> 4711:88213:4026531836:6d0c3a91:9f3a77e0c1d2:mx1.exa
 *                           pid  start PID namespace boot  nonce        host
 *
 * It has at most 59 characters: so many a file system keeps in the inode itself (ext4). A longer one takes a block, and
 * on a disk that is full nobody could remove a message any more.
 *
 * symlink(2) creates it with its content in one step and fails when it is there (like O_EXCL), so there is no moment in
 * which a lock has no owner. It points nowhere and is never followed.
 *
 * Stale locks are told by liveness, not by age: the owner is dead when its pid is gone, is a zombie, or has another
 * start time. Waiting on a living owner ends at a deadline with a refusal; it is never broken. Only of an owner that
 * cannot be asked (another machine, another PID namespace, before a reboot) must age decide: the very same lock seen
 * unchanged for `foreignLockMs` on our own monotonic clock.
 *
 * Breaking without two holders. Two waiters may both find lock N stale; were both to unlink, the second would remove
 * the first one's fresh lock. So whoever wants to break the lock with nonce N first creates the marker `<lock>.N`, and
 * only its creator may unlink the lock, after it read that the lock still is N. N's owner is dead, nobody but the one
 * breaker removes N, so what it read stays true until it unlinks. A breaker that is killed leaves a marker of a dead
 * owner with a nonce of its own, M: its successor is the creator of `<lock>.M`, and so on. A marker made too late finds
 * that the lock is not N any more, and does nothing.
 */
import { randomUUID } from 'node:crypto'
import { readFileSync, readlinkSync } from 'node:fs'
import { hostname } from 'node:os'
import { setTimeout as pause } from 'node:timers/promises'
import { isErrno, StoreError } from './errors.ts'
import type { MaildirLimits } from './limits.ts'
import type { NameChanges } from './local-changes.ts'
import type { Disk } from './options.ts'

export interface HeldLock {
  readonly text: string
  /** When it was taken, ms of the monotonic clock. */
  readonly sinceMs: number
}

interface Owner {
  readonly pid: number
  readonly start: string
  readonly space: string
  readonly boot: string
  readonly nonce: string
  readonly host: string
}

/** Each lock of an owner that cannot be asked, and when it was first seen here, ms of the monotonic clock. */
const firstSeen = new Map<string, number>()
/** More than this many stuck foreign locks at once are forgotten and watched anew: only their breaking is delayed. */
const maxFirstSeen = 10_000

export class LockFiles {
  readonly #disk: Disk
  readonly #limits: MaildirLimits
  readonly #onStale: (path: string, owner: string) => void

  constructor(disk: Disk, limits: MaildirLimits, onStale: (path: string, owner: string) => void) {
    this.#disk = disk
    this.#limits = limits
    this.#onStale = onStale
  }

  /**
   * Rejects with ENOENT when the folder of `path` is gone, and with MAILDIR_LOCK_BUSY after the bounded wait.
   *
   * @param changes - makes the lock; the disk by default.
   * @param waitMs - how long to wait for an owner that lives; 0 to be told at once.
   */
  async acquire(
    path: string,
    changes: NameChanges = this.#disk,
    waitMs: number = this.#limits.lockWaitMs,
  ): Promise<HeldLock> {
    const text = describeSelf()
    const deadline = performance.now() + waitMs
    let pauseMs = 1
    for (;;) {
      if (await this.#create(text, path, changes)) return { text, sinceMs: performance.now() }
      const held = await this.#read(path)
      if (held === undefined) continue
      const isBroken = this.#isStale(held) && (await this.#break(path, held))
      if (!isBroken && performance.now() >= deadline) {
        throw new StoreError('MAILDIR_LOCK_BUSY', `${path} is held by ${held}`)
      }
      // Jitter keeps processes that wait for the same lock from asking in step.
      await pause(pauseMs * (0.5 + Math.random()))
      pauseMs = Math.min(pauseMs * 2, this.#limits.lockRetryMs)
    }
  }

  /**
   * @param path - where the lock is now: its folder may have been renamed under it.
   * @param isLocal - all who could break it measure its age by this machine's clock.
   * @param changes - removes the lock; the disk by default.
   */
  async release(lock: HeldLock, path: string, isLocal = false, changes: NameChanges = this.#disk): Promise<void> {
    // Had it been broken by one that could not ask us, it would belong to somebody else now; but that takes its time.
    const cannotBeBroken = isLocal && performance.now() - lock.sinceMs < this.#limits.foreignLockMs / 2
    if (!cannotBeBroken && (await this.#read(path)) !== lock.text) return
    try {
      await changes.unlink(path)
    } catch (error) {
      if (!isErrno(error, 'ENOENT')) throw error
    }
  }

  async #create(text: string, path: string, changes: NameChanges = this.#disk): Promise<boolean> {
    try {
      await changes.symlink(text, path)
      return true
    } catch (error) {
      if (isErrno(error, 'EEXIST')) return false
      throw error
    }
  }

  async #read(path: string): Promise<string | undefined> {
    try {
      return await this.#disk.readlink(path)
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return undefined
      // A file that another program put there: no owner to ask, so its age decides.
      if (isErrno(error, 'EINVAL')) return 'not-ours'
      throw error
    }
  }

  #isStale(held: string): boolean {
    const life = lifeOf(held)
    if (life !== 'unknown') return life === 'dead'
    const now = performance.now()
    const since = firstSeen.get(held)
    if (since !== undefined) return now - since >= this.#limits.foreignLockMs
    if (firstSeen.size >= maxFirstSeen) firstSeen.clear()
    firstSeen.set(held, now)
    return false
  }

  /** False when another process that lives is about to: it may be stopped in the middle of it. */
  async #break(path: string, held: string): Promise<boolean> {
    const markers: string[] = []
    let marker = markerOf(path, held)
    const mine = describeSelf()
    for (;;) {
      markers.push(marker)
      if (await this.#create(mine, marker)) break
      const breaker = await this.#read(marker)
      if (breaker === undefined || !this.#isStale(breaker)) return false
      marker = markerOf(path, breaker)
    }
    let isStillHeld: boolean
    try {
      isStillHeld = (await this.#read(path)) === held
      if (isStillHeld) await this.#unlinkIfThere(path)
    } catch (error) {
      // The next one that tries makes it anew. Those of dead ones stay: without them two could be that next one.
      await this.#unlinkIfThere(marker).catch(() => undefined)
      throw error
    }
    firstSeen.delete(held)
    for (const made of markers.toReversed()) await this.#unlinkIfThere(made)
    if (isStillHeld) this.#onStale(path, held)
    return true
  }

  async #unlinkIfThere(path: string): Promise<void> {
    try {
      await this.#disk.unlink(path)
    } catch (error) {
      if (!isErrno(error, 'ENOENT')) throw error
    }
  }
}

function markerOf(path: string, held: string): string {
  return `${path}.${parseOwner(held)?.nonce ?? 'foreign'}`
}

/** `undefined` for a text that this package did not write. */
function parseOwner(text: string): Owner | undefined {
  const parts = /^(\d{1,10}):(\d+|-):(\d*):([0-9a-f]*):([0-9a-f]{12}):(.*)$/.exec(text)
  if (parts === null) return undefined
  const [, pid = '', start = '', space = '', boot = '', nonce = '', host = ''] = parts
  return { pid: Number(pid), start, space, boot, nonce, host }
}

/** Whether the owner of a lock still runs; `unknown` when this process has no way to ask. */
function lifeOf(text: string): 'alive' | 'dead' | 'unknown' {
  const owner = parseOwner(text)
  if (owner === undefined) return 'unknown'
  const here = thisProcess()
  if (owner.boot !== here.boot || owner.space !== here.space) return 'unknown'
  // Without /proc there is neither a boot id nor a namespace: the host name must do.
  if (owner.boot === '' && owner.host !== here.host) return 'unknown'
  try {
    process.kill(owner.pid, 0)
  } catch (error) {
    // EPERM: it runs, as another user.
    if (isErrno(error, 'ESRCH')) return 'dead'
  }
  if (owner.start === '-') return 'alive'
  const start = startTimeOf(String(owner.pid))
  return start === undefined || start === owner.start ? 'alive' : 'dead'
}

/** Clock ticks since boot, from /proc/<pid>/stat; `gone` for a zombie, `undefined` where it cannot be read. */
function startTimeOf(pid: string): string | undefined {
  try {
    // The second field is a file name in parentheses and may hold anything; the rest is numbers.
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    const state = fields[0]
    return state === 'Z' || state === 'X' ? 'gone' : fields[19]
  } catch {
    return undefined
  }
}

/** What tells one start of this machine from the next; empty where the system does not say. */
export const bootId = (): string => thisProcess().boot

let self: Omit<Owner, 'nonce'> | undefined

function thisProcess(): Omit<Owner, 'nonce'> {
  if (self !== undefined) return self
  const boot = readOr('', () => readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').slice(0, 8))
  self = {
    pid: process.pid,
    start: startTimeOf('self') ?? '-',
    space: readOr('', () => readlinkSync('/proc/self/ns/pid').replaceAll(/\D/g, '')),
    boot,
    // For people to read, but where there is no boot id.
    host: hostname().slice(0, boot === '' ? 24 : 7),
  }
  return self
}

function describeSelf(): string {
  const { pid, start, space, boot, host } = thisProcess()
  // 48 random bits, of those that Node keeps in store for its UUIDs: each lock would ask the system for as many anew.
  return `${pid}:${start}:${space}:${boot}:${randomUUID().slice(-12)}:${host}`
}

function readOr(otherwise: string, read: () => string): string {
  try {
    return read()
  } catch {
    return otherwise
  }
}
