import fc from 'fast-check'
import { expect, test } from 'vitest'
import { transferDecoder } from '../../src/message/transfer-encoding.ts'

function decoded(encoding: string, text: string, sizes: readonly number[] = []): string {
  const decoder = transferDecoder(encoding)
  const octets = Buffer.from(text, 'latin1')
  const pieces: Buffer[] = []
  let at = 0
  for (const size of [...sizes, octets.length]) {
    pieces.push(Buffer.from(decoder.push(octets.subarray(at, at + size))))
    at = Math.min(octets.length, at + size)
  }
  return Buffer.concat([...pieces, decoder.end()]).toString('latin1')
}

test.for([
  ['as it should be', 'aGVsbG8=\r\n', 'hello'],
  ['without padding', 'aGVsbG8', 'hello'],
  ['blanks and strangers inside', 'aG Vs\r\n!bG8=', 'hello'],
  ['two that were joined', 'aGVsbG8=\r\nIHlvdQ==\r\n', 'hello you'],
  ['padding that is too long, or stands alone', '====aGVsbG8====\r\n==', 'hello'],
  ['half of an octet', 'aGVsbG8=A', 'hello'],
])('base64, %s', ([, text, octets]) => {
  expect(decoded('base64', text ?? '')).toBe(octets)
})

test.for(['base64', 'quoted-printable', '8bit'])('%s is the same in any pieces', (encoding) => {
  const words = fc.constantFrom('YQ==', 'YWI=', 'YWJj', 'Y', '=', '=41', '=\r\n', ' ', '\t', '\r\n', '=4', 'text')
  fc.assert(
    fc.property(fc.array(words, { maxLength: 30 }), fc.array(fc.nat({ max: 5 }), { maxLength: 40 }), (parts, sizes) => {
      const text = parts.join('')
      expect(decoded(encoding, text, sizes)).toBe(decoded(encoding, text))
    }),
  )
})
