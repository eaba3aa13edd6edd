import { X509Certificate, createPrivateKey } from 'node:crypto'
import { createSecureContext } from 'node:tls'
import { reasonOf, readTextFile } from './read-file.ts'

export type CertificateReading =
  | { readonly ok: true; readonly cert: string; readonly key: string; readonly warnings: readonly string[] }
  | { readonly ok: false; readonly problems: readonly CertificateProblem[] }

export interface CertificateProblem {
  readonly of: 'cert' | 'key'
  readonly expected: string
  readonly found: string
}

/** Reads a certificate and its key and checks them against each other, so that no handshake is the first to fail. */
export async function readCertificate(certFile: string, keyFile: string): Promise<CertificateReading> {
  const [cert, key] = await Promise.all([readTextFile(certFile), readTextFile(keyFile)])
  const problems: CertificateProblem[] = []
  if (!cert.ok) problems.push({ of: 'cert', expected: 'a file that can be read', found: `${certFile}: ${cert.reason}` })
  if (!key.ok) problems.push({ of: 'key', expected: 'a file that can be read', found: `${keyFile}: ${key.reason}` })
  if (!cert.ok || !key.ok) return { ok: false, problems }

  const certificate = attempt(() => new X509Certificate(cert.text))
  if (certificate === undefined) {
    problems.push({ of: 'cert', expected: 'a certificate in PEM', found: `${certFile}, which holds none` })
  }
  const privateKey = attempt(() => createPrivateKey(key.text))
  if (privateKey === undefined) {
    const isEncrypted = /ENCRYPTED/.test(key.text)
    const found = isEncrypted ? 'which is encrypted' : 'which holds none'
    problems.push({ of: 'key', expected: 'a private key in PEM, not encrypted', found: `${keyFile}, ${found}` })
  }
  if (certificate === undefined || privateKey === undefined) return { ok: false, problems }

  if (!certificate.checkPrivateKey(privateKey)) {
    const found = `${keyFile}, which belongs to another certificate`
    return { ok: false, problems: [{ of: 'key', expected: `the key of ${certFile}`, found }] }
  }
  try {
    createSecureContext({ cert: cert.text, key: key.text })
  } catch (error) {
    const found = `${certFile}: ${reasonOf(error)}`
    return { ok: false, problems: [{ of: 'cert', expected: 'a certificate and chain that TLS can use', found }] }
  }
  return { ok: true, cert: cert.text, key: key.text, warnings: [...datesOf(certificate), ...modeOf(key.mode, keyFile)] }
}

/** Reads certificates that others are verified by. */
export async function readAuthorities(
  file: string,
): Promise<{ readonly ok: true; readonly pem: string } | { readonly ok: false; readonly found: string }> {
  const reading = await readTextFile(file)
  if (!reading.ok) return { ok: false, found: `${file}: ${reading.reason}` }
  const blocks = reading.text.match(/-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g) ?? []
  if (blocks.length === 0) return { ok: false, found: `${file}, which holds none` }
  const isSound = blocks.every((block) => attempt(() => new X509Certificate(block)) !== undefined)
  return isSound ? { ok: true, pem: blocks.join('\n') } : { ok: false, found: `${file}, in which one cannot be read` }
}

function datesOf(certificate: X509Certificate): string[] {
  const now = Date.now()
  if (certificate.validToDate.getTime() < now) return [`this certificate expired on ${certificate.validTo}`]
  if (certificate.validFromDate.getTime() > now)
    return [`this certificate is not valid before ${certificate.validFrom}`]
  return []
}

function modeOf(mode: number, keyFile: string): string[] {
  return (mode & 0o004) === 0 ? [] : [`everybody on this machine can read the private key: chmod o-r ${keyFile}`]
}

function attempt<T>(make: () => T): T | undefined {
  try {
    return make()
  } catch {
    return undefined
  }
}
