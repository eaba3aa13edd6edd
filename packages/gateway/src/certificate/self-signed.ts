/*
 * A certificate for a first start: self-signed, ECDSA on P-256, for trying out on one machine. Node makes keys and
 * signatures but no certificates, so the structure of RFC 5280 section 4.1 is written here; there is no input from
 * outside, and nothing is parsed.
 */
import { generateKeyPair, randomBytes, sign } from 'node:crypto'
import { promisify } from 'node:util'
import * as asn1 from './der.ts'

export interface MadeCertificate {
  /** PEM. */
  readonly cert: string
  /** PEM, PKCS #8, not encrypted. */
  readonly key: string
}

export interface CertificateWishes {
  /** The subject, and the first name that it is good for. */
  readonly hostname: string
  readonly otherNames?: readonly string[]
  /** IPv4 or IPv6, as bytes. */
  readonly addresses?: readonly Uint8Array[]
  readonly notBefore: Date
  readonly validDays: number
}

export async function makeSelfSignedCertificate(wishes: CertificateWishes): Promise<MadeCertificate> {
  const { publicKey, privateKey } = await promisify(generateKeyPair)('ec', { namedCurve: 'P-256' })
  const toBeSigned = tbsCertificate(wishes, publicKey.export({ type: 'spki', format: 'der' }))
  const signature = sign('sha256', toBeSigned, privateKey)
  const certificate = asn1.sequence(toBeSigned, ecdsaWithSha256, asn1.bitString(signature))
  return {
    cert: toPem('CERTIFICATE', certificate),
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }),
  }
}

/**
 *     TBSCertificate ::= SEQUENCE { version [0], serialNumber, signature, issuer, validity, subject,
 *                                   subjectPublicKeyInfo, …, extensions [3] }
 */
function tbsCertificate(wishes: CertificateWishes, publicKeyInfo: Buffer): Buffer {
  const name = distinguishedName(wishes.hostname)
  const notAfter = new Date(wishes.notBefore.getTime() + wishes.validDays * 86_400_000)
  return asn1.sequence(
    asn1.contextual(0, asn1.integer(Buffer.from([2]))), // version 3
    asn1.integer(randomBytes(16)), // section 4.1.2.2: positive, at most 20 bytes
    ecdsaWithSha256,
    name,
    asn1.sequence(asn1.time(wishes.notBefore), asn1.time(notAfter)),
    name,
    publicKeyInfo,
    asn1.contextual(
      3,
      asn1.sequence(
        // Section 4.2.1.9: a leaf, which can sign no other certificate.
        extension('2.5.29.19', 'critical', asn1.sequence()),
        // Section 4.2.1.3: digitalSignature, the first of eight bits, is all that ECDSA needs in TLS.
        extension('2.5.29.15', 'critical', asn1.der(0x03, Buffer.from([7, 0x80]))),
        // Section 4.2.1.12: serverAuth.
        extension('2.5.29.37', 'optional', asn1.sequence(asn1.objectIdentifier('1.3.6.1.5.5.7.3.1'))),
        extension('2.5.29.17', 'optional', alternativeNames(wishes)),
      ),
    ),
  )
}

/** RFC 5758 section 3.2. */
const ecdsaWithSha256 = asn1.sequence(asn1.objectIdentifier('1.2.840.10045.4.3.2'))

/** One relative name of one attribute: commonName. */
function distinguishedName(commonName: string): Buffer {
  return asn1.sequence(asn1.set(asn1.sequence(asn1.objectIdentifier('2.5.4.3'), asn1.utf8String(commonName))))
}

function extension(identifier: string, weight: 'critical' | 'optional', value: Buffer): Buffer {
  const critical = weight === 'critical' ? [asn1.bool(true)] : []
  return asn1.sequence(asn1.objectIdentifier(identifier), ...critical, asn1.octetString(value))
}

/** Section 4.2.1.6: dNSName is `[2] IA5String`, iPAddress `[7] OCTET STRING`. */
function alternativeNames({ hostname, otherNames = [], addresses = [] }: CertificateWishes): Buffer {
  return asn1.sequence(
    ...[hostname, ...otherNames].map((name) => asn1.implicit(2, Buffer.from(name, 'ascii'))),
    ...addresses.map((address) => asn1.implicit(7, address)),
  )
}

/** RFC 7468: base64 in lines of 64 characters. */
function toPem(label: string, content: Buffer): string {
  const lines = content.toString('base64').match(/.{1,64}/g) ?? []
  return [`-----BEGIN ${label}-----`, ...lines, `-----END ${label}-----`, ''].join('\n')
}
