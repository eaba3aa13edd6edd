import { decode as balenaDecode } from '@balena/proxy-protocol-parser'
import {
  compileCidrSet,
  crc32c,
  ipv4FromNumber,
  ipv6FromWords,
  parseProxyHeader,
  ProxyHeaderReader,
  TlvCursor,
} from '@postern/core'
import { V1ProxyProtocol, V2ProxyProtocol } from 'proxy-protocol-js'
import { readInetByHand } from './floor.ts'
import * as headers from './headers.ts'
import type { Case } from './measure.ts'

/** What a case is held against: the name of another case, or none. */
export interface ParseCase extends Case {
  readonly group: string
}

/** Every row of `npm run bench -- parse`, by group; the first of a group is ours, and what the others are compared with. */
export function parseCases(): ParseCase[] {
  return [
    ...group('v2 TCP4, 28 bytes', [
      ['core: read to a view', readView(headers.v2Tcp4)],
      ['core: parseProxyHeader, both addresses as text', parseToText(headers.v2Tcp4)],
      ['floor: the same checks by hand, no bound, no errors', floor(headers.v2Tcp4)],
      ['@balena/proxy-protocol-parser', balena(headers.v2Tcp4)],
      ['proxy-protocol-js', proxyProtocolJs2(headers.v2Tcp4)],
    ]),
    ...group('v2 TCP6, 52 bytes', [
      ['core: read to a view', readView(headers.v2Tcp6)],
      ['core: parseProxyHeader, both addresses as text', parseToText(headers.v2Tcp6)],
      ['@balena/proxy-protocol-parser', balena(headers.v2Tcp6)],
      ['proxy-protocol-js', proxyProtocolJs2(headers.v2Tcp6)],
    ]),
    ...group('v2 TCP4 with three TLVs', [
      ['core: read to a view, TLVs walked', walkTlvs(headers.v2ThreeTlvs)],
      ['@balena/proxy-protocol-parser, TLVs not read', balena(headers.v2ThreeTlvs)],
      ['proxy-protocol-js, TLVs not read', proxyProtocolJs2(headers.v2ThreeTlvs)],
    ]),
    ...group('v2 TCP4, 100 bytes with CRC32C', [
      ['core: read to a view, checksum verified', readView(headers.v2Checksum100)],
      ['@balena/proxy-protocol-parser, not verified', balena(headers.v2Checksum100)],
      ['proxy-protocol-js, not verified', proxyProtocolJs2(headers.v2Checksum100)],
    ]),
    ...group('v2 LOCAL, 16 bytes', [
      ['core: read to a view', readView(headers.v2Local)],
      ['@balena/proxy-protocol-parser', balena(headers.v2Local)],
    ]),
    ...group('v1 TCP4 line', [
      ['core: read to a view', readView(headers.v1Tcp4)],
      ['core: parseProxyHeader, both addresses as text', parseToText(headers.v1Tcp4)],
      ['@balena/proxy-protocol-parser', balena(headers.v1Tcp4)],
      ['proxy-protocol-js, from a Buffer', proxyProtocolJs1(headers.v1Tcp4)],
    ]),
    ...group('v1 TCP6 line', [
      ['core: read to a view', readView(headers.v1Tcp6)],
      ['@balena/proxy-protocol-parser', balena(headers.v1Tcp6)],
      ['proxy-protocol-js, from a Buffer', proxyProtocolJs1(headers.v1Tcp6)],
    ]),
    ...group('all these kinds in turn', [
      ['core: read to a view', readView(...Object.values(headers))],
      ['@balena/proxy-protocol-parser', balena(...Object.values(headers))],
    ]),
    ...group('CRC32C of 100 bytes', [['core: crc32c', checksum(headers.v2Checksum100)]]),
    ...group('trust lookup in 1,000 networks', [
      ['core: IPv4 address made before', lookUpIpv4()],
      ['core: IPv6 address made before', lookUpIpv6()],
    ]),
  ]
}

function group(name: string, rows: readonly (readonly [string, Case['run']])[]): ParseCase[] {
  return rows.map(([row, run]) => ({ group: name, name: row, run }))
}

// Several copies of a header, read in turn: one buffer alone would let the engine hoist its loads out of the loop.
const copies = 16

function copiesOf(...kinds: readonly Buffer[]): Buffer[] {
  return Array.from({ length: copies }, (_, i) => Buffer.from(kinds[i % kinds.length]!))
}

function readView(...kinds: readonly Buffer[]): Case['run'] {
  const inputs = copiesOf(...kinds)
  const reader = new ProxyHeaderReader()
  return (iterations) => {
    let sum = 0
    for (let i = 0; i < iterations; i++) {
      if (reader.read(inputs[i % copies]!) === 'done') sum += reader.length
    }
    return sum
  }
}

function walkTlvs(header: Buffer): Case['run'] {
  const inputs = copiesOf(header)
  const reader = new ProxyHeaderReader()
  const cursor = new TlvCursor(header, 0, 0)
  return (iterations) => {
    let sum = 0
    for (let i = 0; i < iterations; i++) {
      const input = inputs[i % copies]!
      if (reader.read(input) !== 'done') continue
      cursor.reset(input, reader.tlvStart, reader.length)
      while (cursor.next()) sum += cursor.type + cursor.end - cursor.start
    }
    return sum
  }
}

function parseToText(header: Buffer): Case['run'] {
  const inputs = copiesOf(header)
  return (iterations) => {
    let sum = 0
    for (let i = 0; i < iterations; i++) {
      const parse = parseProxyHeader(inputs[i % copies]!)
      if (parse.status !== 'done') continue
      const { source, destination } = parse.header
      sum += source!.address.toString().length + destination!.address.toString().length + source!.port
    }
    return sum
  }
}

function floor(header: Buffer): Case['run'] {
  const inputs = copiesOf(header)
  const into = { source: 0, destination: 0, sourcePort: 0, destinationPort: 0 }
  return (iterations) => {
    let sum = 0
    for (let i = 0; i < iterations; i++) sum += readInetByHand(inputs[i % copies]!, into)
    return sum
  }
}

function balena(...kinds: readonly Buffer[]): Case['run'] {
  const inputs = copiesOf(...kinds)
  return (iterations) => {
    let sum = 0
    for (let i = 0; i < iterations; i++) sum += 1 + (balenaDecode(inputs[i % copies]!)?.remotePort ?? 0)
    return sum
  }
}

function proxyProtocolJs1(header: Buffer): Case['run'] {
  const inputs = copiesOf(header)
  return (iterations) => {
    let sum = 0
    for (let i = 0; i < iterations; i++)
      sum += V1ProxyProtocol.parse(inputs[i % copies]!.toString('latin1'))?.source?.port ?? 0
    return sum
  }
}

function proxyProtocolJs2(header: Buffer): Case['run'] {
  const inputs = copiesOf(header)
  return (iterations) => {
    let sum = 0
    for (let i = 0; i < iterations; i++) sum += V2ProxyProtocol.parse(inputs[i % copies]!).command
    return sum
  }
}

function checksum(bytes: Buffer): Case['run'] {
  const inputs = copiesOf(bytes)
  return (iterations) => {
    let sum = 0
    for (let i = 0; i < iterations; i++) sum ^= crc32c(inputs[i % copies]!)
    return sum
  }
}

/** A thousand /24 networks, spread; every other lookup hits. */
function lookUpIpv4(): Case['run'] {
  const set = compiled(Array.from({ length: 1_000 }, (_, i) => `${10 + (i % 100)}.${i >> 2}.${(i * 7) & 255}.0/24`))
  const addresses = Array.from({ length: 1_024 }, (_, i) => {
    const network = ((10 + (i % 100)) << 24) | (((i % 1_000) >> 2) << 16) | (((i * 7) & 255) << 8)
    return ipv4FromNumber(i % 2 === 0 ? network | 9 : network ^ 0x0100_0000)
  })
  return (iterations) => {
    let sum = 0
    for (let i = 0; i < iterations; i++) if (set.has(addresses[i & 1_023]!)) sum++
    return sum
  }
}

function lookUpIpv6(): Case['run'] {
  const set = compiled(Array.from({ length: 1_000 }, (_, i) => `2001:db8:${(i * 61).toString(16)}::/48`))
  const addresses = Array.from({ length: 1_024 }, (_, i) =>
    ipv6FromWords(0x2001_0db8, (((i % 1_000) * 61 + (i % 2)) & 0xffff) << 16, 0, i),
  )
  return (iterations) => {
    let sum = 0
    for (let i = 0; i < iterations; i++) if (set.has(addresses[i & 1_023]!)) sum++
    return sum
  }
}

function compiled(networks: readonly string[]): { has(address: ReturnType<typeof ipv4FromNumber>): boolean } {
  const outcome = compileCidrSet(networks)
  if (!outcome.ok) throw new Error(`the benchmark's own networks are wrong: ${outcome.problems[0]?.text}`)
  return outcome.set
}
