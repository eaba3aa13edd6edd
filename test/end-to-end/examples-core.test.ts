// The programs of examples/core, run as their first lines say, one against the other.
import { createInterface } from 'node:readline'
import { afterAll, expect, test } from 'vitest'
import { makeCertificate } from '../kit/certificates.ts'
import { within } from '../kit/patience.ts'
import { ends, tlv, v2 } from '../kit/proxy-header.ts'
import { run, start, type Outcome } from '../kit/run.ts'

const folder = new URL('../../examples/core/', import.meta.url)
const argumentsFor = (name: string, ...rest: readonly string[]): string[] => [
  // The source as it is here; outside this tree the package is what was installed.
  '--conditions=@postern/source',
  new URL(name, folder).pathname,
  ...rest,
]

function parse(input: string | Uint8Array): Promise<Outcome> {
  return run(process.execPath, argumentsFor('parse-a-header.ts'), { input })
}

test.each<[name: string, input: string | Uint8Array, outcome: Partial<Outcome>]>([
  [
    'text, and what follows',
    'PROXY TCP4 203.0.113.7 192.0.2.10 45678 25\r\nEHLO client.example\r\n',
    { code: 0, stdout: 'version 1, proxy, 44 bytes; 21 bytes follow\nfrom 203.0.113.7:45678 to 192.0.2.10:25\n' },
  ],
  [
    'binary, with TLVs',
    v2(ends, { tlvs: [tlv(0x02, 'mx.example.org'), tlv(0x02, 'a\nb'), tlv(0x05, 'id'), tlv(0xe0, 'x')] }),
    {
      code: 0,
      stdout:
        'version 2, proxy, 60 bytes; 0 bytes follow\nfrom 203.0.113.7:45678 to 198.51.100.5:25\n' +
        'asked for mx.example.org\nasked for no name that can be shown\nunique id 6964\nTLV 0xe0, 1 bytes\n',
    },
  ],
  ['without a client', 'PROXY UNKNOWN\r\n', { code: 0, stdout: 'version 1, proxy, 15 bytes; 0 bytes follow\n' }],
  ['incomplete', 'PROXY TCP4 203', { code: 2, stderr: expect.stringContaining('of at least') as string }],
  [
    'bad',
    'PROXY TCP4 203.0.113.256',
    { code: 1, stderr: expect.stringMatching(/^PROXY_ADDRESS at byte \d+: /) as string },
  ],
])('parse-a-header: %s', async (_name, input, outcome) => {
  expect(await parse(input)).toMatchObject(outcome)
})

test('connect-with-a-header reaches front-an-https-server, which sees the client', async () => {
  const { cert, key } = await makeCertificate()
  const server = start(process.execPath, argumentsFor('front-an-https-server.ts', key, cert, '0'))
  afterAll(() => server.kill())
  const port = await within(30_000, 'the server to listen', portOf(server))
  const { code, stdout, stderr } = await run(
    process.execPath,
    argumentsFor('connect-with-a-header.ts', port, '198.51.100.23', cert),
  )
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  expect(stdout).toMatch(/^HTTP\/1\.1 200 OK\r\n/)
  expect(stdout).toContain('198.51.100.23:45678 dialled 192.0.2.10:443 through 127.0.0.1, connection c0ffee\n')
})

async function portOf(server: ReturnType<typeof start>): Promise<string> {
  for await (const line of createInterface({ input: server.stdout! })) {
    const [, port] = /^listening on port (\d+)$/.exec(line) ?? []
    if (port !== undefined) return port
  }
  throw new Error('the server ended before it listened')
}
