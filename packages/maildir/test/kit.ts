/** Stores in temporary directories, and what they are made of. */
import * as fs from 'node:fs/promises'
import { mkdtemp, readdir, rm, type FileHandle } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Uid } from '@postern/core'
import type { Disk, MaildirProblem, MaildirStore, MaildirStoreOptions, OpenFile } from '../src/index.ts'
import { openMaildirStore } from '../src/index.ts'
import type { UidLine } from '../src/uidlist.ts'
import { value } from './conformance.ts'

export const ann = 'ann@example.org'

export interface TestStore {
  readonly store: MaildirStore
  readonly account: string
  readonly root: string
  /** The Maildir of `account`, which is the folder of INBOX. */
  readonly maildir: string
  readonly problems: MaildirProblem[]
  readonly end: () => Promise<void>
}

export async function openTestStore(options: Partial<MaildirStoreOptions> = {}): Promise<TestStore> {
  const root = options.root ?? (await mkdtemp(join(tmpdir(), 'postern-maildir-')))
  const problems: MaildirProblem[] = []
  const store = openMaildirStore({
    hostname: 'mx.example.org',
    onProblem: (problem) => {
      problems.push(problem)
    },
    ...options,
    root,
  })
  value(await store.createAccount(ann))
  const end = async () => {
    await store.close()
    await rm(root, { recursive: true, force: true })
  }
  return { store, account: ann, root, maildir: join(root, ann, 'Maildir'), problems, end }
}

/** Of a store that writes a snapshot of any mailbox as soon as it may. */
export const snapshotsAtOnce = { minSnapshotMessages: 1, snapshotDelayMs: 0, snapshotPauseMs: 0 }

/** Every file below, with its path from there. */
export async function filesBelow(path: string): Promise<string[]> {
  const entries = await readdir(path, { recursive: true, withFileTypes: true })
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
}

/** A line of a UID list. */
export function lineOf(uid: number, base = `${uid}.example`): UidLine {
  return { uid: uid as Uid, dateMs: 0, rawBytes: 1, bytes: 1, base }
}

function unsynced<T extends OpenFile | FileHandle>(file: T): T {
  return new Proxy(file, {
    get(target, key) {
      if (key === 'sync' || key === 'datasync') return async () => undefined
      const member: unknown = Reflect.get(target, key, target)
      return typeof member === 'function' ? (member.bind(target) as unknown) : member
    },
  })
}

/**
 * The file system without its syncs, which no order depends on.
 *
 * @param inPlace - what may be called on the event loop.
 */
export function unsyncedDisk({ openLocalFile, ...inPlace }: Partial<Disk> = {}): Disk {
  const open = (async (...args: Parameters<typeof fs.open>) => unsynced(await fs.open(...args))) as typeof fs.open
  if (openLocalFile === undefined) return { ...fs, ...inPlace, open }
  return { ...fs, ...inPlace, open, openLocalFile: async (...args) => unsynced(await openLocalFile(...args)) }
}
