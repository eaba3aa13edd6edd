import { expect, test } from 'vitest'
import fc from 'fast-check'
import { crc32c } from '@postern/core'
import { slowCrc32c, text } from '../kit/header-bytes.ts'

test.each<[name: string, bytes: Uint8Array, sum: number]>([
  ['nothing', Buffer.alloc(0), 0],
  ['the check value of CRC-32C', text('123456789'), 0xe306_9283],
  ['RFC 3720 appendix B.4: 32 zeros', Buffer.alloc(32), 0x8a91_36aa],
  ['RFC 3720 appendix B.4: 32 ones', Buffer.alloc(32, 0xff), 0x62a8_ab43],
  ['RFC 3720 appendix B.4: 0 to 31', Buffer.from(Array.from({ length: 32 }, (_, i) => i)), 0x46dd_794e],
])('R-CRC-01: %s', (_name, bytes, sum) => {
  expect(crc32c(bytes)).toBe(sum)
})

test('any bytes have the sum that is computed bit by bit', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      expect(crc32c(bytes)).toBe(slowCrc32c(bytes))
    }),
    { numRuns: 500 },
  )
})
