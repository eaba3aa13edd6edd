/*
 * The accounts file:
 *
 *     [[account]]
 *     name = "ann@example.org"
 *     password = "$argon2id$v=19$m=19456,t=2,p=1$…$…"
 *
 * It is replaced as a whole, so that a reader sees the old file or the new one.
 */
import { open, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { z } from 'zod'
import { parseTomlFile } from '../config/toml-file.ts'
import { readTextFile } from '../config/read-file.ts'
import type { ConfigProblem } from '../config/schema.ts'
import { formatPasswordHash, parsePasswordHash, passwordHashWords, type PasswordHash } from './password-hash.ts'
import { accountNameWords, isAccountName } from './prepare.ts'

/** Names to password hashes, in the order of the file. */
export type Accounts = ReadonlyMap<string, PasswordHash>

export type AccountsOutcome =
  | { readonly ok: true; readonly accounts: Accounts }
  | { readonly ok: false; readonly isMissing: boolean; readonly problems: readonly ConfigProblem[] }

/** Reads the accounts, or tells everything that is wrong. A file that other users of the machine may read is refused. */
export async function readAccounts(file: string): Promise<AccountsOutcome> {
  const reading = await readTextFile(file)
  if (!reading.ok) return refusal(file, 'an accounts file that can be read', reading.reason, reading.isMissing)
  if ((reading.mode & 0o007) !== 0) {
    const found = `mode ${(reading.mode & 0o777).toString(8).padStart(4, '0')}: mend it with chmod 600 ${file}`
    return refusal(file, 'a file that other users of this machine have no rights to', found)
  }
  const parsed = parseTomlFile(reading.text, accountsFormat)
  if (!parsed.ok) return { ok: false, isMissing: false, problems: parsed.problems.located(file, parsed.lines) }

  const { problems, lines, value } = parsed
  const accounts = new Map<string, PasswordHash>()
  for (const [index, { name, password }] of value.account.entries()) {
    if (accounts.has(name)) {
      problems.add({
        path: ['account', index, 'name'],
        expected: 'a name that stands here once',
        found: `"${name}" again`,
      })
    }
    accounts.set(name, password)
  }
  return problems.all.length === 0
    ? { ok: true, accounts }
    : { ok: false, isMissing: false, problems: problems.located(file, lines) }
}

/**
 * Changes the accounts, one writer at a time: the new file is made as `FILE.lock`, which only one process can, and then
 * takes the place of the old one. What the file held stays whole until the new one is on the disk. A file that is not
 * there yet has no accounts.
 *
 * Rejects when the disk refuses, and with whatever `edit` throws.
 */
export async function changeAccounts(file: string, edit: (accounts: Accounts) => Accounts): Promise<AccountsOutcome> {
  const lock = `${file}.lock`
  try {
    await using handle = await open(lock, 'wx', 0o600)
    let isOurs = true
    try {
      const before = await readAccounts(file)
      if (!before.ok && !before.isMissing) return before
      const accounts = edit(before.ok ? before.accounts : new Map<string, PasswordHash>())
      await handle.writeFile(formatAccounts(accounts))
      await handle.sync()
      await rename(lock, file)
      isOurs = false
      await syncDirectory(dirname(file))
      return { ok: true, accounts }
    } finally {
      // After the rename a lock of this name is another writer's.
      if (isOurs) await rm(lock, { force: true })
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    const found = `${lock}: another change is under way, or ended half-way; if none is, remove that file`
    return refusal(file, 'nobody else to change the accounts', found)
  }
}

function formatAccounts(accounts: Accounts): string {
  const tables = [...accounts].map(
    ([name, hash]) =>
      `\n[[account]]\nname = ${JSON.stringify(name)}\npassword = ${JSON.stringify(formatPasswordHash(hash))}\n`,
  )
  return `# Written by \`postern user\`, which keeps no comments. A running gateway sees changes at the next login.\n${tables.join('')}`
}

/** The rename itself is durable only when the directory is. */
async function syncDirectory(path: string): Promise<void> {
  await using directory = await open(path, 'r')
  await directory.sync()
}

const accountsFormat = z.strictObject(
  {
    account: z
      .array(
        z.strictObject(
          {
            name: z.string({ error: accountNameWords }).refine(isAccountName, { error: accountNameWords }),
            password: z.string({ error: passwordHashWords }).transform((text, context): PasswordHash => {
              const hash = parsePasswordHash(text)
              if (hash !== undefined) return hash
              context.issues.push({ code: 'custom', message: passwordHashWords, input: text })
              return z.NEVER
            }),
          },
          { error: (issue) => (issue.code === 'unrecognized_keys' ? undefined : 'a table with name and password') },
        ),
        { error: 'tables headed [[account]]' },
      )
      .prefault([]),
  },
  { error: (issue) => (issue.code === 'unrecognized_keys' ? undefined : 'a table of keys') },
)

function refusal(file: string, expected: string, found: string, isMissing = false): AccountsOutcome {
  return { ok: false, isMissing, problems: [{ file, line: 0, path: '', expected, found }] }
}
