import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { connect, createServer } from 'node:tls'
import { expect, test } from 'vitest'
import { makeSelfSignedCertificate } from '../../src/certificate/self-signed.ts'
import { integer, objectIdentifier, octetString, time } from '../../src/certificate/der.ts'

const wishes = {
  hostname: 'localhost',
  otherNames: ['mx.example'],
  addresses: [Buffer.from([127, 0, 0, 1])],
  notBefore: new Date('2026-11-21T10:00:00Z'),
  validDays: 3650,
}

test('it says whom it is for, how long, and that it signs nothing else', async () => {
  const { cert } = await makeSelfSignedCertificate(wishes)
  const certificate = new X509Certificate(cert)
  expect(certificate).toMatchObject({
    subject: 'CN=localhost',
    issuer: 'CN=localhost',
    subjectAltName: 'DNS:localhost, DNS:mx.example, IP Address:127.0.0.1',
    ca: false,
    keyUsage: ['1.3.6.1.5.5.7.3.1'],
    validFrom: 'Nov 21 10:00:00 2026 GMT',
    validTo: 'Nov 18 10:00:00 2036 GMT',
  })
  expect(certificate.publicKey.asymmetricKeyDetails).toMatchObject({ namedCurve: 'prime256v1' })
})

test('its signature is its own key’s', async () => {
  const { cert } = await makeSelfSignedCertificate(wishes)
  const certificate = new X509Certificate(cert)
  expect(certificate.verify(certificate.publicKey)).toBe(true)
})

test('no two have a serial number or a key in common', async () => {
  const [one, other] = await Promise.all([makeSelfSignedCertificate(wishes), makeSelfSignedCertificate(wishes)])
  expect(new X509Certificate(one.cert).serialNumber).not.toBe(new X509Certificate(other.cert).serialNumber)
  expect(one.key).not.toBe(other.key)
})

test('a client that trusts it shakes hands, by name', async () => {
  const made = await makeSelfSignedCertificate(wishes)
  const server = createServer(made, (socket) => socket.end('hello')).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const client = connect({ host: '127.0.0.1', port, servername: 'localhost', ca: made.cert })
  await once(client, 'secureConnect')
  expect(client.authorized).toBe(true)
  client.destroy()
  server.close()
})

test.each([
  ['zero', integer(Buffer.from([0, 0])), '020100'],
  ['a small number', integer(Buffer.from([0, 2])), '020102'],
  ['a number whose first bit is set', integer(Buffer.from([0x80])), '02020080'],
  ['an identifier with an arc of two bytes', objectIdentifier('1.2.840.10045.4.3.2'), '06082a8648ce3d040302'],
  ['127 bytes: a length of one byte', octetString(Buffer.alloc(127)).subarray(0, 3), '047f00'],
  ['128 bytes: a length of two', octetString(Buffer.alloc(128)).subarray(0, 3), '048180'],
  ['256 bytes: a length of three', octetString(Buffer.alloc(256)).subarray(0, 4), '04820100'],
  ['the last second of UTCTime', time(new Date('2049-12-31T23:59:59Z')), '170d3439313233313233353935395a'],
  ['the first of GeneralizedTime', time(new Date('2050-01-01T00:00:00Z')), '180f32303530303130313030303030305a'],
])('DER of %s', (_, bytes, hex) => {
  expect(bytes.toString('hex')).toBe(hex)
})
