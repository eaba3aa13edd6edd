/*
 * The accounts file:
 *
 *     scram-decoy = "…"
 *
 *     [[account]]
 *     name = "ann@example.org"
 *     password = "$argon2id$v=19$m=19456,t=2,p=1$…$…"
 *     scram = "SCRAM-SHA-256$65536:…$…:…"
 *     aliases = ["info@example.org", "ann@example.net"]
 *     quota = "1GiB"
 *     quota-messages = 100000
 *
 * Mail for `aliases` is the account's; nobody signs in by them. `quota` and `quota-messages` bound what it may hold.
 * `scram` has the keys of SCRAM-SHA-256 for the same password. `scram-decoy` is the secret by which a name that is unknown
 * is given keys; it stands there with the first of them, and never changes. It is replaced as a whole, so that a reader
 * sees the old file or the new one.
 */
import { randomBytes } from 'node:crypto'
import { open, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { ScramKeys } from '@postern/core'
import { z } from 'zod'
import { bytes as sizeBetween, wholeNumber } from '../config/format-values.ts'
import { parseTomlFile } from '../config/toml-file.ts'
import { readTextFile } from '../config/read-file.ts'
import type { ConfigProblem } from '../config/schema.ts'
import { formatBytes } from '../config/units.ts'
import { formatPasswordHash, parsePasswordHash, passwordHashWords, type PasswordHash } from './password-hash.ts'
import { accountNameWords, isAccountName } from './prepare.ts'
import { formatScramKeys, parseScramKeys, scramKeysWords } from './scram-text.ts'

/** What is known of an account. Its password is kept in forms that it cannot be read from. */
export interface Account {
  readonly password: PasswordHash
  /** Absent: it cannot sign in by SCRAM. */
  readonly scram?: ScramKeys
  /** Further addresses whose mail is this account's. */
  readonly aliases?: readonly string[]
  /** Bytes that it may hold. */
  readonly quotaBytes?: number
  /** Messages that it may hold. */
  readonly quotaMessages?: number
}

/** By name, in the order of the file. */
export type Accounts = ReadonlyMap<string, Account>

export type AccountsOutcome =
  | { readonly ok: true; readonly accounts: Accounts; readonly scramDecoy?: Buffer }
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
  const accounts = new Map<string, Account>()
  const names = new Set(value.account.map(({ name }) => name))
  for (const [index, entry] of value.account.entries()) {
    const { name } = entry
    if (accounts.has(name)) {
      problems.add({
        path: ['account', index, 'name'],
        expected: 'a name that stands here once',
        found: `"${name}" again`,
      })
    }
    for (const [at, alias] of (entry.aliases ?? []).entries()) {
      if (!names.has(alias)) {
        names.add(alias)
        continue
      }
      const path = ['account', index, 'aliases', at]
      problems.add({ path, expected: 'an address that is no account and stands here once', found: `"${alias}" again` })
    }
    accounts.set(name, accountOf(entry))
  }
  if (problems.all.length > 0) return { ok: false, isMissing: false, problems: problems.located(file, lines) }
  const scramDecoy = value['scram-decoy']
  return scramDecoy === undefined ? { ok: true, accounts } : { ok: true, accounts, scramDecoy }
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
      const accounts = edit(before.ok ? before.accounts : new Map<string, Account>())
      const known = before.ok ? before.scramDecoy : undefined
      const hasScram = [...accounts.values()].some(({ scram }) => scram !== undefined)
      const scramDecoy = known ?? (hasScram ? randomBytes(scramDecoyBytes) : undefined)
      await handle.writeFile(formatAccounts(accounts, scramDecoy))
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

function formatAccounts(accounts: Accounts, scramDecoy: Buffer | undefined): string {
  return [
    '# Written by `postern user`, which keeps no comments. A running gateway sees changes at the next login.\n',
    scramDecoy === undefined ? '' : `scram-decoy = "${scramDecoy.toString('base64')}"\n`,
    ...[...accounts].map(([name, account]) => `\n[[account]]\n${formatAccount(name, account)}`),
  ].join('')
}

function accountOf(entry: AccountEntry): Account {
  const { password, scram, aliases, quota, 'quota-messages': quotaMessages } = entry
  return {
    password,
    ...(scram === undefined ? {} : { scram }),
    ...(aliases === undefined ? {} : { aliases }),
    ...(quota === undefined ? {} : { quotaBytes: quota }),
    ...(quotaMessages === undefined ? {} : { quotaMessages }),
  }
}

function formatAccount(name: string, { password, scram, aliases, quotaBytes, quotaMessages }: Account): string {
  const lines = [`name = ${JSON.stringify(name)}`, `password = ${JSON.stringify(formatPasswordHash(password))}`]
  if (scram !== undefined) lines.push(`scram = "${formatScramKeys(scram)}"`)
  if (aliases !== undefined) lines.push(`aliases = ${JSON.stringify(aliases)}`)
  if (quotaBytes !== undefined) lines.push(`quota = "${formatBytes(quotaBytes)}"`)
  if (quotaMessages !== undefined) lines.push(`quota-messages = ${quotaMessages}`)
  return `${lines.join('\n')}\n`
}

/** The rename itself is durable only when the directory is. */
async function syncDirectory(path: string): Promise<void> {
  await using directory = await open(path, 'r')
  await directory.sync()
}

/** Text that `parse` understands. */
function parsedText<T>(
  expected: string,
  parse: (text: string) => T | undefined,
): z.ZodPipe<z.ZodString, z.ZodTransform<T, string>> {
  return z.string({ error: expected }).transform((text, context) => {
    const value = parse(text)
    if (value !== undefined) return value
    context.issues.push({ code: 'custom', message: expected, input: text })
    return z.NEVER
  })
}

const scramDecoyBytes = 32
const scramDecoyWords = 'a secret as `postern user` writes it'

function parseScramDecoy(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64')
  return bytes.length === scramDecoyBytes && bytes.toString('base64') === text ? bytes : undefined
}

type AccountEntry = z.output<typeof accountsFormat>['account'][number]

const accountsFormat = z.strictObject(
  {
    'scram-decoy': parsedText(scramDecoyWords, parseScramDecoy).optional(),
    account: z
      .array(
        z.strictObject(
          {
            name: z.string({ error: accountNameWords }).refine(isAccountName, { error: accountNameWords }),
            password: parsedText(passwordHashWords, parsePasswordHash),
            scram: parsedText(scramKeysWords, parseScramKeys).optional(),
            aliases: z
              .array(z.string({ error: accountNameWords }).refine(isAccountName, { error: accountNameWords }), {
                error: 'a list of addresses',
              })
              .optional(),
            quota: sizeBetween('64KiB', '4096GiB').optional(),
            'quota-messages': wholeNumber(1, 1_000_000_000).optional(),
          },
          {
            error: (issue) =>
              issue.code === 'unrecognized_keys'
                ? undefined
                : 'a table with name, password and, if there are any, scram, aliases, quota and quota-messages',
          },
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
