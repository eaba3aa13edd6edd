import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { HexLines } from '../../src/cli/hex-lines.ts'
import { temporaryDirectory } from '../config/temporary-directory.ts'
import { postern } from './run.ts'

const v1 = Buffer.from('PROXY TCP4 192.168.1.100 10.0.0.1 45678 25\r\n')

/** A version 2 header as HAProxy writes it, with an SSL TLV, a name and an opaque TLV. */
const v2 = Buffer.from(
  [
    '0d0a0d0a000d0a515549540a', // signature
    '2111', // version 2, PROXY; TCP over IPv4
    '0038', // 56 bytes follow
    'cb007107 c0000201 b26e 0019', // 203.0.113.7:45678 to 192.0.2.1:25
    '02000a 6d782e6578616d706c65', // AUTHORITY mx.example
    '200017 01 00000000', // SSL: over TLS, nothing to verify
    '210007 544c5376312e33', // its version, TLSv1.3
    '220005 414243448a', // a common name that is not UTF-8
    'e10002 c0de', // somebody’s own
  ]
    .join('')
    .replaceAll(' ', ''),
  'hex',
)

const record = {
  status: 'ok',
  version: 1,
  command: 'PROXY',
  family: 'INET',
  protocol: 'STREAM',
  sourceAddress: '192.168.1.100',
  sourcePort: 45678,
  destinationAddress: '10.0.0.1',
  destinationPort: 25,
  tlvs: [],
  headerLength: 44,
  code: null,
  reason: null,
}

describe('C1, C5: one header', () => {
  test('in hexadecimal, as JSON', async () => {
    const { status, stdout } = await postern(['inspect', '--hex', v1.toString('hex'), '--json'])
    expect(status).toBe(0)
    expect(JSON.parse(stdout)).toEqual(record)
  })

  test('version 1 field by field, with what follows it', async () => {
    const file = join(await temporaryDirectory(), 'capture')
    await writeFile(file, Buffer.concat([v1, Buffer.from('EHLO \u001b[2J\r\n')]))
    const { status, stdout } = await postern(['inspect', file])
    expect(status).toBe(0)
    expect(stdout).toBe(`valid: PROXY protocol version 1, 44 bytes
client 192.168.1.100:45678 dialled 10.0.0.1:25

offset  bytes                        field                says
     0  50 52 4f 58 59               signature            PROXY
     6  54 43 50 34                  family               TCP4
    11  31 39 32 2e 31 36 38 ...     source address       192.168.1.100
    25  31 30 2e 30 2e 30 2e 31      destination address  10.0.0.1
    34  34 35 36 37 38               source port          45678
    40  32 35                        destination port     25
    42  0d 0a                        end of line          CR LF
behind it: 11 bytes of the application: "EHLO \\x1b[2J\\x0d\\x0a"
`)
  })

  test('version 2 field by field, from standard input in pieces', async () => {
    const { status, stdout } = await postern(['inspect', '-'], { stdin: [...v2].map((byte) => Buffer.of(byte)) })
    expect(status).toBe(0)
    expect(stdout).toBe(`valid: PROXY protocol version 2, 72 bytes
client 203.0.113.7:45678 dialled 192.0.2.1:25

offset  bytes                        field                says
     0  0d 0a 0d 0a 00 0d 0a ...     signature            version 2
    12  21                           command              PROXY
    13  11                           family               INET STREAM
    14  00 38                        length               56 bytes follow
    16  cb 00 71 07                  source address       203.0.113.7
    20  c0 00 02 01                  destination address  192.0.2.1
    24  b2 6e                        source port          45678
    26  00 19                        destination port     25
    28  02 00 0a                     AUTHORITY            10 bytes follow
    31  6d 78 2e 65 78 61 6d ...       value              mx.example
    41  20 00 17                     SSL                  23 bytes follow
    44  01                             client             connected over TLS
    45  00 00 00 00                    verify             0: no certificate
    49  21 00 07                       SSL_VERSION        7 bytes follow
    52  54 4c 53 76 31 2e 33             value            TLSv1.3
    59  22 00 05                       SSL_CN             5 bytes follow
    62  41 42 43 44 8a                   value
    67  e1 00 02                     type 0xe1            2 bytes follow
    70  c0 de                          value              opaque
`)
  })

  test.each([
    ['valid', '50524f585920554e4b4e4f574e0d0a', 0, /^valid: PROXY protocol version 1, 15 bytes\nno addresses/],
    ['LOCAL', '0d0a0d0a000d0a515549540a20000000', 0, /LOCAL: the sender speaks for itself/],
    ['invalid', '50524f5859205443503420780d0a', 1, /^invalid: .*\n {2}code PROXY_/],
    ['no header', '45484c4f', 1, /^not a PROXY header/],
    ['incomplete', '50524f58', 2, /^incomplete/],
    ['nothing', '', 2, /there are no bytes/],
  ])('%s: its exit status, and what is said', async (_, hex, status, says) => {
    const ran = await postern(['inspect', '--hex', hex])
    expect(ran.status).toBe(status)
    expect(ran.stdout).toMatch(says)
    expect(ran.stderr).toBe('')
  })

  test.each([
    ['digits that are none', ['--hex', 'xyz'], 64, /hexadecimal/],
    ['half a byte', ['--hex', '123'], 64, /hexadecimal/],
    ['both a file and digits', ['--hex', '00', 'file'], 64, /not both/],
    ['a file that is not there', ['/nowhere/capture'], 74, /no such file/],
    ['an unknown option', ['--colour'], 64, /unknown option/],
  ])('%s: a sentence on standard error', async (_, args, status, says) => {
    const ran = await postern(['inspect', ...args])
    expect(ran).toMatchObject({ status, stdout: '' })
    expect(ran.stderr).toMatch(says)
    expect(ran.stderr).not.toMatch(/^ {4}at /m)
  })
})

describe('a header a line', () => {
  const fields = Object.keys(record).sort()
  test('each line is answered by one object, in order, with the same fields', async () => {
    const answers = await lines(
      `${v1.toString('hex')}\n`,
      `  ${v1.toString('hex').replaceAll(/../g, '$& ').toUpperCase()}\r\n`,
      '\n',
      '504\n',
      'PROXY\n',
      '45484c4f\n',
      '50524f5859205443503420780d0a\n',
      `${v2.toString('hex')}45484c4f`,
    )
    expect(answers.map(({ status, code }) => [status, code])).toEqual([
      ['ok', null],
      ['ok', null],
      ['incomplete', null],
      ['invalid', 'GATEWAY_NOT_HEX'],
      ['invalid', 'GATEWAY_NOT_HEX'],
      ['not-proxy', null],
      ['invalid', expect.stringMatching(/^PROXY_/)],
      ['ok', null],
    ])
    expect(answers.map((answer) => Object.keys(answer).sort())).toEqual(answers.map(() => fields))
    expect(answers[0]).toEqual(record)
    expect(answers[7]).toMatchObject({ sourceAddress: '203.0.113.7', headerLength: v2.length })
  })

  test('the addresses of LOCAL are null, whatever stands there', async () => {
    const [answer] = await lines('0d0a0d0a000d0a515549540a2011000ccb007107c0000201b26e0019\n')
    expect(answer).toMatchObject({
      status: 'ok',
      command: 'LOCAL',
      sourceAddress: null,
      sourcePort: null,
      destinationAddress: null,
      destinationPort: null,
    })
  })

  test('the largest header of the protocol is read, and megabytes behind it cost nothing', async () => {
    const filled = Buffer.alloc(65_551)
    Buffer.from('0d0a0d0a000d0a515549540a2111ffff', 'hex').copy(filled)
    filled.write('cb007107c0000201b26e0019', 16, 'hex')
    filled.writeUInt8(0x04, 28)
    filled.writeUInt16BE(65_551 - 31, 29)
    const [answer] = await lines(filled.toString('hex'), ...Array.from({ length: 64 }, () => '00'.repeat(32_768)))
    expect(answer).toMatchObject({ status: 'ok', headerLength: 65_551, sourceAddress: '203.0.113.7' })
  })

  test('a digit that is none far behind the bound is still told', async () => {
    const [answer] = await lines(v1.toString('hex'), '00'.repeat(100_000), 'x')
    expect(answer).toMatchObject({ code: 'GATEWAY_NOT_HEX', reason: expect.stringContaining('200089') })
  })

  test('any split of the input gives the same answers, and no input throws', () => {
    const line = fc.oneof(
      fc.constantFrom(v1.toString('hex'), v2.toString('hex'), '', 'zz'),
      fc.string({ unit: fc.constantFrom('0', 'd', 'A', ' ', '\t', '\r', 'g', 'é'), maxLength: 20 }),
    )
    fc.assert(
      fc.property(fc.array(line), fc.array(fc.nat(200)), (all, cuts) => {
        const text = all.join('\n')
        const whole = new HexLines()
        const expected = [...whole.push(text), ...whole.end()]
        const split = new HexLines()
        const bounds = [0, ...cuts.map((cut) => Math.min(cut, text.length)).sort((a, b) => a - b), text.length]
        const pieces = bounds.slice(1).map((end, index) => text.slice(bounds[index], end))
        expect([...pieces.flatMap((piece) => split.push(piece)), ...split.end()]).toEqual(expected)
      }),
    )
  })
})

async function lines(...stdin: readonly string[]): Promise<readonly Record<string, unknown>[]> {
  const { status, stdout } = await postern(['inspect', '--lines', '--json', '-'], { stdin })
  expect(status).toBe(0)
  return stdout
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Record<string, unknown>)
}
