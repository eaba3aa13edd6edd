/* From [tls] to certificates that have been read, and to what clients are asked for. */
import { createSecureContext } from 'node:tls'
import { readAuthorities, readCertificate } from './certificate-files.ts'
import type { ConfigFile } from './config-file.ts'
import { clientCertificatesOf } from './resolve-listeners.ts'
import type { Resolving } from './resolving.ts'
import type { CertificateConfig, ListenerConfig, TlsConfig } from './schema.ts'

export async function certificatesOf(
  file: ConfigFile,
  listeners: readonly ListenerConfig[],
  { problems, warn, path: fileOf }: Resolving,
): Promise<CertificateConfig[]> {
  const { certificates, acme } = file.tls
  const inNeed = listeners.filter(({ tls }) => tls !== 'off').map(({ name }) => name)
  if (certificates.length === 0 && acme === undefined && inNeed.length > 0 && problems.isSound('tls')) {
    const expected = 'a certificate and its key, as in [{ cert = "mx.pem", key = "mx.key" }], or [tls.acme]'
    const found = `none, but ${inNeed.map((name) => `listener ${name}`).join(' and ')} would speak TLS`
    problems.add({ path: ['tls', 'certificates'], expected, found })
  }
  const readings = await Promise.all(
    certificates.map(async ({ cert, key }, index) => {
      const [certFile, keyFile] = [fileOf(cert), fileOf(key)]
      return { index, certFile, keyFile, reading: await readCertificate(certFile, keyFile) }
    }),
  )
  return readings.flatMap(({ index, certFile, keyFile, reading }) => {
    if (reading.ok) {
      for (const message of reading.warnings) warn(['tls', 'certificates', index], message)
      return [{ certFile, keyFile, cert: reading.cert, key: reading.key }]
    }
    for (const { of, ...problem } of reading.problems) {
      problems.add({ path: ['tls', 'certificates', index, of], ...problem })
    }
    return []
  })
}

export function tlsOf(file: ConfigFile, { problems }: Pick<Resolving, 'problems'>): TlsConfig {
  const { 'min-version': version, ciphers } = file.tls
  const minVersion = version === '1.3' ? 'TLSv1.3' : 'TLSv1.2'
  if (ciphers === undefined) return { minVersion }
  try {
    createSecureContext({ minVersion, ciphers })
  } catch {
    const found = `"${ciphers}", of which OpenSSL knows none`
    problems.add({ path: ['tls', 'ciphers'], expected: 'ciphers as OpenSSL names them', found })
  }
  return { minVersion, ciphers }
}

/** Who signs the certificates of clients, where a listener asks for them. */
export async function clientCaOf(
  file: ConfigFile,
  listeners: readonly ListenerConfig[],
  { problems, warn, path: fileOf }: Resolving,
): Promise<string | undefined> {
  const asking = listeners.filter(({ name }) => clientCertificatesOf(name, file) !== 'off')
  const path = ['tls', 'client-ca']
  const { 'client-ca': name } = file.tls
  if (asking[0] === undefined) return undefined
  if (name === undefined) {
    if (!problems.isSound('tls')) return undefined
    const found = `none, but listener ${asking[0].name} asks clients for a certificate`
    problems.add({ path, expected: 'the file of who signs the certificates of clients', found })
    return undefined
  }
  const open = asking.find(
    ({ protocol, name: each }) => protocol === 'smtp' && clientCertificatesOf(each, file) === 'require',
  )
  if (open !== undefined) {
    const message = `listener ${open.name} takes mail only from clients with a certificate of yours, which other mail servers do not have`
    warn(['listener', open.name], message)
  }
  const reading = await readAuthorities(fileOf(name))
  if (reading.ok) return reading.pem
  problems.add({ path, expected: 'certificates in PEM', found: reading.found })
  return undefined
}
