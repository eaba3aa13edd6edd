import { join } from 'node:path'
import { certificateFile } from '../acme/files.ts'
import { makeSelfSignedCertificate } from '../certificate/self-signed.ts'
import { parseBindAddress } from './bind-address.ts'
import { readCertificate } from './certificate-files.ts'
import type { AcmeTable } from './config-file.ts'
import { readTextFile } from './read-file.ts'
import type { Resolving } from './resolving.ts'
import type { AcmeConfig, AdminConfig, CertificateConfig } from './schema.ts'

/** What of the rest a certificate that is ordered depends on. */
interface Surroundings {
  readonly admin: AdminConfig
  readonly dataDir: string
}

/** `[tls.acme]` as it is meant. */
export async function resolveAcme(
  acme: AcmeTable | undefined,
  { admin, dataDir }: Surroundings,
  { problems, path: fileOf, secretIn }: Resolving,
): Promise<AcmeConfig | undefined> {
  if (acme === undefined) return undefined
  const path = ['tls', 'acme']
  if (!acme['agree-to-terms'] && problems.isSound(...path)) {
    const expected = `true, once you have read and agree to the terms of service of ${new URL(acme.directory).host}`
    problems.add({ path: [...path, 'agree-to-terms'], expected, found: 'false: nothing is ordered without it' })
  }
  if (acme.bind === undefined && admin.bind === undefined && problems.isSound('admin')) {
    const found = 'nothing, and admin.bind is "off"'
    problems.add({ path: [...path, 'bind'], expected: 'where challenges are answered', found })
  }
  const bind = acme.bind === undefined ? undefined : parseBindAddress(acme.bind)
  const external = acme['external-account']
  const key = await secretIn(external?.['key-file'], [...path, 'external-account', 'key-file'])
  return {
    names: [...new Set(acme.names.map((name) => name.toLowerCase()))],
    directory: acme.directory,
    ...(acme.email !== undefined && { email: acme.email }),
    ...(bind !== undefined && { bind: { port: httpPort, ...bind } }),
    folder: acme.folder === undefined ? join(dataDir, 'acme') : fileOf(acme.folder),
    keyType: acme['key-type'],
    renewBeforeMs: acme['renew-before'],
    ...(external !== undefined && key !== undefined && { externalAccount: { keyId: external['key-id'], key } }),
  }
}

/** Where authorities look (RFC 8555 section 8.3). */
const httpPort = 80

/** The one that ACME keeps; until it has come, one of our own making, so that listeners can open. */
export async function orderedCertificate(
  acme: AcmeConfig | undefined,
  { problems, warn }: Pick<Resolving, 'problems' | 'warn'>,
): Promise<readonly CertificateConfig[]> {
  const [hostname, ...otherNames] = acme?.names ?? []
  if (acme === undefined || hostname === undefined) return []
  const file = certificateFile(acme)
  const files = { certFile: file, keyFile: file }
  const there = await readTextFile(file)
  if (!there.ok && there.isMissing) {
    const notBefore = new Date(Date.now() - placeholderSkewMs)
    const made = await makeSelfSignedCertificate({ hostname, otherNames, notBefore, validDays: placeholderDays })
    return [{ ...files, ...made, isPlaceholder: true }]
  }
  const reading = await readCertificate(file, file)
  if (!reading.ok) {
    const { expected = '', found = '' } = reading.problems[0] ?? {}
    problems.add({ path: ['tls', 'acme'], expected, found, hint: 'take the file away, and a new one is ordered' })
    return []
  }
  for (const message of reading.warnings) warn(['tls', 'acme'], message)
  return [{ ...files, cert: reading.cert, key: reading.key }]
}

/** Nobody takes it for the real one in any case. */
const placeholderDays = 30

/** A container or a virtual machine may run a little behind its clients. */
const placeholderSkewMs = 3_600_000
