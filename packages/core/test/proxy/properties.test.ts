import { describe, expect, test } from 'vitest'
import fc from 'fast-check'
import {
  encodeProxyHeader,
  endpoint,
  ipv4FromNumber,
  ipv6FromWords,
  parseProxyHeader,
  ProxyHeaderReader,
  sslTlv,
  type Endpoint,
  type HeaderToSend,
} from '@postern/core'
import { judge, summary } from '../kit/summary.ts'

const word = fc.integer({ min: 0, max: 0xffff_ffff })
const port = fc.nat({ max: 65_535 })
const inet = fc.tuple(word, port).map(([address, number]) => endpoint(ipv4FromNumber(address), number))
const inet6 = fc
  .tuple(word, word, word, word, port)
  .map(([w0, w1, w2, w3, number]) => endpoint(ipv6FromWords(w0, w1, w2, w3), number))
const ends = fc.oneof(fc.tuple(inet, inet), fc.tuple(inet6, inet6), fc.tuple(inet, inet6))

const sslValue = fc
  .record({
    version: fc.string(),
    certificate: fc.constantFrom('none', 'on-connection', 'in-session'),
    isVerified: fc.boolean(),
    commonName: fc.string(),
  })
  .map((facts) => sslTlv(facts))
const plainTlv = fc
  .tuple(fc.constantFrom(0x01, 0x02, 0x04, 0x05, 0x30, 0xe0, 0xea, 0xee, 0xef), fc.uint8Array({ maxLength: 40 }))
  .map(([type, value]) => ({ type, value: Buffer.from(value) }))
const tlvs = fc.array(fc.oneof(plainTlv, sslValue), { maxLength: 6 })

const sent: fc.Arbitrary<HeaderToSend> = fc.oneof(
  fc.constant<HeaderToSend>({ version: 1, command: 'unknown' }),
  fc.constant<HeaderToSend>({ version: 2, command: 'local' }),
  ends.map(([source, destination]) => ({ version: 1 as const, command: 'proxy' as const, source, destination })),
  fc
    .record({ ends, tlvs, transport: fc.constantFrom('STREAM', 'DGRAM'), hasChecksum: fc.boolean() })
    .map(({ ends: [source, destination], ...rest }) => ({
      version: 2 as const,
      command: 'proxy' as const,
      source,
      destination,
      ...rest,
    })),
)

function encode(header: HeaderToSend): Buffer {
  const encoded = encodeProxyHeader(header, { maxBytes: 65_551 })
  if (!encoded.ok) throw new Error(encoded.detail)
  return encoded.bytes
}

const encoded = sent.map(encode)

/** Valid headers with a few bytes changed, cut out or put in. */
const mutated = fc
  .tuple(
    encoded,
    fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 }), fc.nat({ max: 3 })), { minLength: 1, maxLength: 4 }),
  )
  .map(([header, changes]) => {
    let bytes = Buffer.from(header)
    for (const [where, byte, how] of changes) {
      const at = where % (bytes.length + 1)
      const [before, after] = [bytes.subarray(0, at), bytes.subarray(at)]
      if (how === 0) bytes = Buffer.concat([before, Buffer.of(byte), after])
      else if (how === 1) bytes = Buffer.concat([before, after.subarray(1)])
      else bytes = Buffer.concat([before, Buffer.of(byte), after.subarray(1)])
    }
    return bytes
  })

const anything = fc.oneof(
  encoded,
  mutated,
  fc.uint8Array({ maxLength: 120 }).map((bytes) => Buffer.from(bytes)),
)

describe('for every header', () => {
  test('parse of encode is what was encoded', () => {
    fc.assert(
      fc.property(sent, (header) => {
        const bytes = encode(header)
        const parse = parseProxyHeader(bytes, 65_551)
        if (parse.status !== 'done') throw new Error(judge(bytes))
        const { version, command, transport, source, destination, length } = parse.header
        expect(length).toBe(bytes.length)
        expect(version).toBe(header.version)
        expect(command).toBe(header.command === 'local' ? 'local' : 'proxy')
        const wanted = 'source' in header && 'address' in header.source ? header : undefined
        expect(source).toEqual(wanted === undefined ? undefined : plain(wanted.source as Endpoint))
        expect(destination).toEqual(wanted === undefined ? undefined : plain(wanted.destination as Endpoint))
        expect(transport).toBe(
          wanted === undefined ? 'UNSPEC' : ((wanted as { transport?: string }).transport ?? 'STREAM'),
        )
        const wantedTlvs = 'tlvs' in header ? (header.tlvs ?? []) : []
        expect([...parse.header.tlvs].filter(({ type }) => type !== 0x03)).toEqual(wantedTlvs)
      }),
      { numRuns: 500 },
    )
  })

  test('PX-06: every prefix is more, and asks for no more than the header', () => {
    fc.assert(
      fc.property(encoded, (bytes) => {
        for (let length = 0; length < bytes.length; length++) {
          const parse = parseProxyHeader(bytes.subarray(0, length), 65_551)
          const atLeast = parse.status === 'more' ? parse.atLeast : Number.NaN
          expect(atLeast).toBeGreaterThan(length)
          expect(atLeast).toBeLessThanOrEqual(bytes.length)
        }
      }),
      { numRuns: 200 },
    )
  })

  test('R-G-10: bytes behind it change nothing', () => {
    fc.assert(
      fc.property(encoded, fc.uint8Array({ maxLength: 50 }), (bytes, rest) => {
        expect(judge(Buffer.concat([bytes, rest]), 65_551)).toBe(judge(bytes, 65_551))
      }),
      { numRuns: 500 },
    )
  })
})

describe('for all bytes', () => {
  test('PX-36: nothing throws, and nothing is read behind the header', () => {
    fc.assert(
      fc.property(anything, (bytes) => {
        const parse = parseProxyHeader(bytes)
        if (parse.status !== 'done') return
        const { header } = parse
        expect(header.length).toBeLessThanOrEqual(bytes.length)
        for (const { value } of header.tlvs) {
          expect(value.byteOffset - bytes.byteOffset + value.length).toBeLessThanOrEqual(header.length)
        }
        expect([header.source === undefined, header.unixSource === undefined]).toContain(true)
      }),
      { numRuns: 3_000 },
    )
  })

  test('once bad stays bad with the same code and offset, and done stays done, however the bytes come', () => {
    fc.assert(
      fc.property(anything, fc.constantFrom(20, 31, 40, 107, 4096), (bytes, maxBytes) => {
        const whole = judge(bytes, maxBytes)
        for (let length = 0; length < bytes.length; length++) {
          const part = judge(bytes.subarray(0, length), maxBytes)
          expect(part.startsWith('more') ? whole : part).toBe(whole)
        }
      }),
      { numRuns: 1_000 },
    )
  })

  test('more asks for what can help: with fewer bytes than it asks for there is no valid header', () => {
    fc.assert(
      fc.property(anything, fc.nat(), (bytes, cut) => {
        const parse = parseProxyHeader(bytes.subarray(0, cut % (bytes.length + 1)))
        const whole = parseProxyHeader(bytes)
        const [least, needed] =
          parse.status === 'more' && whole.status === 'done' ? [parse.atLeast, whole.header.length] : [0, 0]
        expect(needed).toBeGreaterThanOrEqual(least)
        expect(parse.status === 'more' ? parse.atLeast : 0).toBeLessThanOrEqual(4096)
      }),
      { numRuns: 2_000 },
    )
  })

  test('a reader that is used again says the same as a new one', () => {
    const reader = new ProxyHeaderReader()
    fc.assert(
      fc.property(anything, (bytes) => {
        const status = reader.read(bytes)
        const verdicts = {
          done: () => `done ${summary(reader)}`,
          more: () => `more ${reader.atLeast}`,
          bad: () => `bad ${reader.code} at ${reader.at}`,
        }
        expect(verdicts[status]()).toBe(judge(bytes))
      }),
      { numRuns: 1_000 },
    )
  })
})

function plain({ address, port: number }: Endpoint): Endpoint {
  return { address, port: number }
}
