/*
 * A PROXY header for people: each field with its offset, its bytes and what they say. The record knows what the fields
 * mean; where they stand follows from the specification (sections 2.1 and 2.2).
 */
import type { HeaderRecord, SslRecord, TlvRecord } from '@postern/core'
import { printable } from '../observe/text.ts'

interface Field {
  readonly at: number
  readonly bytes: Buffer
  readonly name: string
  readonly says: string
  readonly depth: number
}

/** @param bytes - what was inspected; it may go on behind the header. */
export function headerText(record: HeaderRecord, bytes: Buffer): string {
  if (record.status === 'ok') return tableOf(record, bytes)
  const shown = bytes.subarray(0, maxShownBytes)
  const start =
    bytes.length === 0 ? 'there are no bytes' : `${bytes.length} bytes: ${hex(shown, maxShownBytes)}  ${ascii(shown)}`
  return `${verdicts[record.status](record)}\n  ${start}\n`
}

const verdicts = {
  invalid: ({ code, reason }: HeaderRecord): string => `invalid: ${reason}\n  code ${code}`,
  incomplete: (): string => 'incomplete: so far this can be a PROXY header, but it is not all of one',
  'not-proxy': (): string => 'not a PROXY header: it begins with neither signature',
}

const maxShownBytes = 16

// ── the parts of a valid header ─────────────────────────────────────────────

function tableOf(record: HeaderRecord, bytes: Buffer): string {
  const length = record.headerLength ?? 0
  const header = bytes.subarray(0, length)
  const fields = record.version === 1 ? fieldsOfV1(header) : fieldsOfV2(record, header)
  const rest = bytes.subarray(length)
  const behind =
    rest.length === 0 ? '' : `behind it: ${rest.length} bytes of the application: ${ascii(rest.subarray(0, 40))}\n`
  return `${summaryOf(record)}\n\n${layOut(fields)}${behind}`
}

function summaryOf(record: HeaderRecord): string {
  const what = `valid: PROXY protocol version ${record.version}, ${record.headerLength} bytes`
  if (record.command === 'LOCAL') return `${what}\nLOCAL: the sender speaks for itself, as in a health check`
  if (record.sourceAddress === null) return `${what}\nno addresses: the connection's own hold`
  return `${what}\nclient ${place(record.sourceAddress, record.sourcePort)} dialled ${place(record.destinationAddress, record.destinationPort)}`
}

function place(address: string | null, port: number | null): string {
  const text = printable(address ?? '')
  if (port === null) return text === '' ? 'a socket without a name' : text
  return text.includes(':') ? `[${text}]:${port}` : `${text}:${port}`
}

/** `PROXY TCP4 source destination source-port destination-port CRLF` */
function fieldsOfV1(header: Buffer): Field[] {
  const line = header.toString('latin1')
  const names = ['signature', 'family', 'source address', 'destination address', 'source port', 'destination port']
  const hasAddresses = !/^PROXY UNKNOWN(?: |\r)/.test(line)
  const fields: Field[] = []
  let at = 0
  for (const word of line.slice(0, -2).split(' ')) {
    const name = hasAddresses || fields.length < 2 ? names[fields.length] : 'ignored'
    fields.push({ at, bytes: header.subarray(at, at + word.length), name: name ?? '', says: printable(word), depth: 0 })
    at += word.length + 1
  }
  fields.push({ at: header.length - 2, bytes: header.subarray(-2), name: 'end of line', says: 'CR LF', depth: 0 })
  return fields
}

function fieldsOfV2(record: HeaderRecord, header: Buffer): Field[] {
  const fields: Field[] = []
  let at = 0
  const add = (length: number, name: string, says: string, depth = 0): void => {
    fields.push({ at, bytes: header.subarray(at, at + length), name, says, depth })
    at += length
  }
  const addTlvs = (tlvs: readonly TlvRecord[], depth: number): void => {
    for (const tlv of tlvs) {
      const length = tlv.valueHex.length / 2
      add(3, tlv.name ?? `type 0x${tlv.type.toString(16).padStart(2, '0')}`, `${length} bytes follow`, depth)
      if (isSsl(tlv.value)) {
        add(1, 'client', clientBits(tlv.value), depth + 1)
        add(4, 'verify', verifyWords(tlv.value), depth + 1)
        addTlvs(tlv.value.tlvs, depth + 1)
      } else if (length > 0) {
        add(length, 'value', valueText(tlv), depth + 1)
      }
    }
  }
  add(12, 'signature', 'version 2')
  add(1, 'command', `${record.command}`)
  add(1, 'family', `${record.family} ${record.protocol}`)
  add(2, 'length', `${header.length - 16} bytes follow`)
  const addressBytes = record.command === 'LOCAL' ? 0 : (bytesOfAddress.get(record.family ?? '') ?? 0)
  if (addressBytes > 0) {
    add(addressBytes, 'source address', printable(record.sourceAddress ?? ''))
    add(addressBytes, 'destination address', printable(record.destinationAddress ?? ''))
  }
  if (addressBytes > 0 && record.sourcePort !== null) {
    add(2, 'source port', `${record.sourcePort}`)
    add(2, 'destination port', `${record.destinationPort}`)
  }
  addTlvs(record.tlvs ?? [], 0)
  if (at < header.length) add(header.length - at, 'ignored', `a ${record.command} header's block says nothing here`)
  return fields
}

const bytesOfAddress: ReadonlyMap<string, number> = new Map([
  ['INET', 4],
  ['INET6', 16],
  ['UNIX', 108],
])

function isSsl(value: TlvRecord['value']): value is SslRecord {
  return typeof value === 'object' && value !== null && 'verify' in value && 'tlvs' in value
}

/** Section 2.2.6: the bits of the client field. */
function clientBits({ client }: SslRecord): string {
  const words = [
    client.ssl ? 'connected over TLS' : 'not over TLS',
    client.certificateOnConnection ? 'certificate on this connection' : '',
    client.certificateInSession ? 'certificate in this TLS session' : '',
  ]
  return words.filter((word) => word !== '').join(', ')
}

/** Section 2.2.6: zero when a certificate was presented and verified, or when none was presented. */
function verifyWords({ client, verify }: SslRecord): string {
  if (verify !== 0) return `${verify}: no verified certificate`
  return client.certificateOnConnection || client.certificateInSession
    ? '0: the certificate was verified'
    : '0: no certificate'
}

function valueText({ value, name }: TlvRecord): string {
  if (value === null) return name === null ? 'opaque' : ''
  if (typeof value === 'string') return printable(value)
  if (typeof value === 'number')
    return name === 'CRC32C' ? `0x${value.toString(16).padStart(8, '0')}, verified` : `${value}`
  return Object.entries(value)
    .map(([key, fact]) => `${key} ${printable(String(fact))}`)
    .join(', ')
}

// ── layout ──────────────────────────────────────────────────────────────────

function layOut(fields: readonly Field[]): string {
  const rows = fields.map(({ at, bytes, name, says, depth }) => ({
    at: String(at).padStart(6),
    bytes: hex(bytes, 8).padEnd(27),
    name: `${'  '.repeat(depth)}${name}`,
    says,
  }))
  const width = Math.max('field'.length, ...rows.map(({ name }) => name.length))
  const line = (at: string, bytes: string, name: string, says: string): string =>
    `${at}  ${bytes}  ${name.padEnd(width)}  ${says}`.trimEnd()
  return [
    line('offset', 'bytes'.padEnd(27), 'field', 'says'),
    ...rows.map((row) => line(row.at, row.bytes, row.name, row.says)),
    '',
  ].join('\n')
}

/** As many bytes as fit, in hexadecimal. */
function hex(bytes: Buffer, most: number): string {
  const shown = bytes.length > most ? bytes.subarray(0, most - 1) : bytes
  const pairs = [...shown].map((byte) => byte.toString(16).padStart(2, '0')).join(' ')
  return bytes.length > most ? `${pairs} ...` : pairs
}

function ascii(bytes: Buffer): string {
  return `"${printable(bytes.toString('latin1'))}"`
}
