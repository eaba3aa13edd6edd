/** Stores in temporary directories, and what they are made of. */
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Uid } from '@postern/core'
import type { MaildirProblem, MaildirStore, MaildirStoreOptions } from '../src/index.ts'
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

/** Every file below, with its path from there. */
export async function filesBelow(path: string): Promise<string[]> {
  const entries = await readdir(path, { recursive: true, withFileTypes: true })
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
}

/** A line of a UID list. */
export function lineOf(uid: number, base = `${uid}.example`): UidLine {
  return { uid: uid as Uid, dateMs: 0, rawBytes: 1, bytes: 1, base }
}
