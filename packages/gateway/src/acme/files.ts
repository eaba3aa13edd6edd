/* What ACME keeps on the disk: the key of the account, and the certificate with its chain and key in one file. */
import { generateKeyPair } from 'node:crypto'
import { mkdir, open, rename } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { readTextFile } from '../config/read-file.ts'
import type { AcmeConfig } from '../config/schema.ts'

/** Chain and key in one file, so that no reader finds the one without the other. */
export function certificateFile({ folder }: Pick<AcmeConfig, 'folder'>): string {
  return join(folder, 'certificate.pem')
}

/** The key of the account, which is made when there is none. Rejects when the disk refuses, or the file is no text. */
export async function accountKeyIn({ folder }: AcmeConfig): Promise<string> {
  const file = join(folder, 'account.pem')
  const known = await readTextFile(file)
  if (known.ok) return known.text
  if (!known.isMissing) throw new Error(`${file}: ${known.reason}`)
  const { privateKey } = await promisify(generateKeyPair)('ec', { namedCurve: 'P-256' })
  const key = privateKey.export({ type: 'pkcs8', format: 'pem' })
  // Ahead of the account itself: an account whose key is lost cannot be used any more.
  await writePrivate(file, key)
  return key
}

/** Keeps a certificate that was ordered, and from whom. @param pem - chain and key. */
export function keepCertificate(config: AcmeConfig, pem: string): Promise<void> {
  return writePrivate(certificateFile(config), `${originLine(config)}\n${pem}`)
}

/** Whether a file was ordered from another authority than is configured now. One that an operator put there is from none. */
export function isFromElsewhere(config: AcmeConfig, text: string): boolean {
  return text.startsWith(originMark) && !text.startsWith(`${originLine(config)}\n`)
}

/** What stands ahead of a PEM block is for people (RFC 7468 section 2). */
function originLine({ directory }: AcmeConfig): string {
  return `${originMark}${directory}`
}

const originMark = 'Ordered by Postern from '

/** Replaces the file as a whole, on the disk when it resolves; nobody but its owner may read it. */
async function writePrivate(file: string, text: string): Promise<void> {
  const folder = dirname(file)
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const fresh = `${file}.new`
  {
    await using handle = await open(fresh, 'w', 0o600)
    await handle.chmod(0o600)
    await handle.writeFile(text)
    await handle.sync()
  }
  await rename(fresh, file)
  await using directory = await open(folder, 'r')
  await directory.sync()
}
