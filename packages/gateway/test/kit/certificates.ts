import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { CertificateConfig } from '../../src/config/schema.ts'

/** A self-signed P-256 certificate for these names, made by the openssl command. */
export function makeCertificate(...names: readonly string[]): CertificateConfig {
  return makeWith(['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256'], names)
}

/** The same with a key of RSA. */
export function makeRsaCertificate(...names: readonly string[]): CertificateConfig {
  return makeWith(['-newkey', 'rsa:2048'], names)
}

function makeWith(key: readonly string[], names: readonly string[]): CertificateConfig {
  const directory = mkdtempSync(join(tmpdir(), 'postern-cert-'))
  try {
    const certFile = join(directory, 'cert.pem')
    const keyFile = join(directory, 'key.pem')
    const alternatives = names.map((name) => `DNS:${name}`).join(',')
    const request = ['req', '-x509', ...key, '-nodes', '-days', '2']
    const subject = ['-subj', `/CN=${names[0]}`, '-addext', `subjectAltName=${alternatives}`]
    execFileSync('openssl', [...request, ...subject, '-keyout', keyFile, '-out', certFile], { stdio: 'ignore' })
    return { certFile, keyFile, cert: readFileSync(certFile, 'utf8'), key: readFileSync(keyFile, 'utf8') }
  } finally {
    rmSync(directory, { recursive: true })
  }
}
