import { describe, expect, test } from 'vitest'
import { looksLikeProxyHeader, mayBecomeProxyHeader } from '@postern/core'
import { hex, signatureHex, text, v2 } from '../kit/header-bytes.ts'

describe('W4: bytes of a stranger', () => {
  test.each<[name: string, bytes: Buffer, looksLike: boolean, mayBecome: boolean]>([
    ['nothing', hex(''), false, true],
    ['a binary header', v2({}), true, true],
    ['the signature alone', hex(signatureHex), true, true],
    ['the signature but for its last byte', hex(signatureHex).subarray(0, 11), false, true],
    ['a text header', text('PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n'), true, true],
    ['TCP6', text('PROXY TCP6 '), true, true],
    ['UNKNOWN', text('PROXY UNKNOWN\r\n'), true, true],
    ['a bad text header', text('PROXY TCP4 x'), true, true],
    ['half a word', text('PROXY TCP'), false, true],
    ['PROXY', text('PROXY'), false, true],
    ['a command of another name', text('PROXY example.org'), false, true],
    ['lower case', text('proxy TCP4 1.2.3.4'), false, false],
    ['EHLO', text('EHLO x\r\n'), false, false],
    ['CRLF and a command', text('\r\nEHLO'), false, false],
  ])('%s', (_name, bytes, looksLike, mayBecome) => {
    expect(looksLikeProxyHeader(bytes)).toBe(looksLike)
    expect(mayBecomeProxyHeader(bytes)).toBe(mayBecome)
  })
})
