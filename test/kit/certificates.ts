import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { temporaryFolder } from './folder.ts'
import { peer } from './peers.ts'

export interface Certificate {
  /** PEM files. */
  readonly cert: string
  readonly key: string
  /** Certificate and key in one file, as HAProxy wants it. */
  readonly both: string
}

/** A fresh self-signed P-256 certificate; made by openssl, so that no key is in the tree. */
export async function makeCertificate(name = 'mx.example.org'): Promise<Certificate> {
  const folder = temporaryFolder('certificate')
  const cert = join(folder, 'cert.pem')
  const key = join(folder, 'key.pem')
  const both = join(folder, 'both.pem')
  const { code, stderr } = await peer('openssl', [
    'req',
    '-x509',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:P-256',
    '-nodes',
    '-days',
    '2',
    '-subj',
    `/CN=${name}`,
    '-addext',
    `subjectAltName=DNS:${name}`,
    '-keyout',
    key,
    '-out',
    cert,
  ])
  if (code !== 0) throw new Error(`openssl could not make a certificate: ${stderr}`)
  writeFileSync(both, readFileSync(cert, 'utf8') + readFileSync(key, 'utf8'))
  return { cert, key, both }
}
