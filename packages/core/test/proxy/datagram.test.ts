import { describe, expect, test } from 'vitest'
import {
  encodeProxyDatagram,
  encodeSimpleProxyDatagram,
  endpoint,
  formatEndpoint,
  parseProxyDatagram,
  parseSimpleProxyDatagram,
} from '@postern/core'
import { hex, text, v2 } from '../kit/header-bytes.ts'
import { summary } from '../kit/summary.ts'

const header = v2({ familyAndTransport: 0x12 })

describe('R-UDP-01, R-UDP-02: a datagram with a header', () => {
  test('is split into header and payload', () => {
    const parsed = parseProxyDatagram(Buffer.concat([header, text('query')]))
    if (!parsed.ok) throw new Error(parsed.code)
    expect(summary(parsed.header)).toBe('v2 proxy INET DGRAM 28 192.0.2.1:56324 198.51.100.2:443')
    expect(parsed.payload.toString()).toBe('query')
  })

  test.each<[name: string, datagram: Buffer, code: string, at: number]>([
    ['R-UDP-02: cut short', header.subarray(0, 27), 'PROXY_TRUNCATED', 27],
    ['R-UDP-02: empty', hex(''), 'PROXY_TRUNCATED', 0],
    ['no header', text('query'), 'PROXY_NO_SIGNATURE', 0],
    ['a text header, which knows no datagrams', text('PROXY UNKNOWN\r\n'), 'PROXY_FAMILY', 0],
    ['over the bound', v2({ length: 5000 }), 'PROXY_TOO_LONG', 14],
  ])('%s', (_name, datagram, code, at) => {
    expect(parseProxyDatagram(datagram)).toEqual({ ok: false, code, at })
  })

  test('S-12: is written as one', () => {
    const ends = { source: endpoint('192.0.2.1', 56_324), destination: endpoint('198.51.100.2', 443) }
    const toSend = { version: 2, command: 'proxy', transport: 'DGRAM', ...ends } as const
    const encoded = encodeProxyDatagram(toSend, text('query'))
    expect(encoded).toMatchObject({ ok: true, bytes: Buffer.concat([header, text('query')]) })
    expect(encodeProxyDatagram(toSend, text('query'), { maxBytes: 20 })).toMatchObject({ ok: false })
  })
})

describe('Cloudflare’s Simple Proxy Protocol', () => {
  const datagram = hex(`
    56ec
    00000000000000000000ffffc0000201   ; client, IPv4-mapped
    20010db8000000000000000000000002   ; proxy
    dc04 0035
    71756572790a`)

  test('is split into ends and payload', () => {
    const parsed = parseSimpleProxyDatagram(datagram)
    if (parsed === undefined) throw new Error('not read')
    expect(formatEndpoint(parsed.client)).toBe('192.0.2.1:56324')
    expect(formatEndpoint(parsed.proxy)).toBe('[2001:db8::2]:53')
    expect(parsed.payload.toString()).toBe('query\n')
  })

  test('is written for replies', () => {
    const written = encodeSimpleProxyDatagram(
      endpoint('192.0.2.1', 56_324),
      endpoint('2001:db8::2', 53),
      text('query\n'),
    )
    expect(written.toString('hex')).toBe(datagram.toString('hex'))
  })

  test('is 38 bytes and begins with its magic', () => {
    expect(parseSimpleProxyDatagram(datagram.subarray(0, 37))).toBeUndefined()
    expect(parseSimpleProxyDatagram(datagram.subarray(0, 38))?.payload).toHaveLength(0)
    expect(parseSimpleProxyDatagram(datagram.subarray(1))).toBeUndefined()
    expect(parseSimpleProxyDatagram(header)).toBeUndefined()
  })
})
