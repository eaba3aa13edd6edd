/*
 * What the embedded defaults need and a first start makes: a certificate, an account to try with, and the token for
 * `postern reload` and `postern drain`. Passwords and tokens go into files that only their owner can read: so they never
 * stand on a screen, in a log or in a shell's history.
 */
import { randomBytes } from 'node:crypto'
import { mkdir, open, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { changeAccounts } from '../auth/accounts-file.ts'
import { makeAccount } from '../auth/make-account.ts'
import { makeSelfSignedCertificate } from '../certificate/self-signed.ts'

export const demoAccount = 'demo@localhost'
export const demoPasswordFile = 'demo-password'
const tokenFile = 'admin.token'

/** Makes what is missing; what is there stays as it is. Rejects when the disk refuses. */
export async function prepareFirstStart(dataDir: string): Promise<void> {
  await mkdir(dataDir, { recursive: true, mode: 0o700 })
  if (!(await exists(join(dataDir, 'key.pem')))) {
    const made = await makeSelfSignedCertificate({
      hostname: 'localhost',
      addresses: [Buffer.from([127, 0, 0, 1]), Buffer.concat([Buffer.alloc(15), Buffer.from([1])])],
      notBefore: new Date(Date.now() - clockSkewMs),
      validDays: 3650,
    })
    // The key last: it is what tells the next start that both are there.
    await writePrivate(join(dataDir, 'certificate.pem'), made.cert)
    await writePrivate(join(dataDir, 'key.pem'), made.key)
  }
  const token = join(dataDir, tokenFile)
  if (!(await exists(token))) await writePrivate(token, `${randomBytes(24).toString('base64url')}\n`)
  const accounts = join(dataDir, 'accounts.toml')
  if (!(await exists(accounts))) {
    const password = randomBytes(15).toString('base64url')
    const account = await makeAccount(password, true)
    if (account === undefined) throw new Error('the password that was made is too short for SCRAM')
    await writePrivate(join(dataDir, demoPasswordFile), password)
    const outcome = await changeAccounts(accounts, (others) => new Map([...others, [demoAccount, account]]))
    if (!outcome.ok) throw new Error(outcome.problems.map(({ found }) => found).join('; '))
  }
}

/** A container or a virtual machine may run a little behind the machine that tries it. */
const clockSkewMs = 3_600_000

async function exists(file: string): Promise<boolean> {
  try {
    await stat(file)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false
    throw error
  }
}

async function writePrivate(file: string, text: string): Promise<void> {
  await using handle = await open(file, 'w', 0o600)
  await handle.writeFile(text)
  await handle.sync()
}
