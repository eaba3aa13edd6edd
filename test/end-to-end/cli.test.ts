// The command, run as its users run it: as a process, by its exit status and what it prints.
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { captured, nlbHealthCheck } from '../kit/captured.ts'
import { listener } from '../kit/configuration.ts'
import { temporaryFolder } from '../kit/folder.ts'
import { ann, postern, prepareFolder, startGateway, type Gateway } from '../kit/gateway.ts'
import { freePorts } from '../kit/ports.ts'
import { ends, sslTlv, tlv, v1, v2, v2Bytes } from '../kit/proxy-header.ts'

describe('postern inspect', () => {
  test.each([
    ['valid', v1().toString('hex'), 0],
    ['invalid', Buffer.from('PROXY TCP4 203.0.113.7 198.51.100.5 99999 25\r\n').toString('hex'), 1],
    ['not a header', Buffer.from('EHLO client.example.net\r\n').toString('hex'), 1],
    ['incomplete', v2().subarray(0, 20).toString('hex'), 2],
  ])('C1, C5: the exit status says whether it is %s', async (_, hex, code) => {
    expect(await postern(['inspect', '--hex', hex])).toMatchObject({ code })
    expect(await postern(['inspect', '--hex', hex, '--json'])).toMatchObject({ code })
  })

  test('C5: field by field, for people', async () => {
    const header = v2(ends, { tlvs: [tlv(0x02, 'mx.example.org'), sslTlv(1, 0, [tlv(0x21, 'TLSv1.3')])], crc: true })
    const { stdout } = await postern(['inspect', '--hex', header.toString('hex')])
    for (const word of ['203.0.113.7', '45678', '198.51.100.5', 'mx.example.org', 'TLSv1.3', 'CRC32C']) {
      expect(stdout).toContain(word)
    }
  })

  test('C1: from a file and from standard input, as raw bytes', async () => {
    const file = join(temporaryFolder('inspect'), 'header.bin')
    const bytes = Buffer.concat([v2(), Buffer.from('EHLO client.example.net\r\n')])
    writeFileSync(file, bytes)
    const fromFile = await postern(['inspect', file, '--json'])
    const fromInput = await postern(['inspect', '-', '--json'], { input: bytes })
    expect(fromFile).toMatchObject({ code: 0 })
    expect(fromFile.stdout).toBe(fromInput.stdout)
    expect(JSON.parse(fromFile.stdout)).toMatchObject({ status: 'ok', sourceAddress: '203.0.113.7', headerLength: 28 })
  })

  test('C1: --lines: one object a line, in order, whatever each line holds', async () => {
    const lines = [
      v1().toString('hex'),
      v2(ends, { tlvs: [tlv(0xea, '\u0001vpce-1')], crc: true }).toString('hex'),
      v1({ ...ends, source: '2001:db8::7', destination: '2001:db8::1' }).toString('hex'),
      nlbHealthCheck.toString('hex'),
      Buffer.from('PROXY UNKNOWN ffff:: ffff:: 1 2\r\n').toString('hex'),
      Buffer.concat([v1(), Buffer.from('EHLO x\r\n')]).toString('hex'),
      v2().subarray(0, 27).toString('hex'),
      Buffer.from('PROXY TCP4 1.2.3.4 5.6.7.8 1 65536\r\n').toString('hex'),
      v2Bytes({ command: 3, block: v2().subarray(16) }).toString('hex'),
      Buffer.from('GET / HTTP/1.1\r\n').toString('hex'),
      'this is no hexadecimal',
      '',
      v2Bytes({ block: Buffer.concat([v2().subarray(16), tlv(0x04, Buffer.alloc(65_520))]) }).toString('hex'),
    ]
    const { code, stdout } = await postern(['inspect', '--lines', '--json', '-'], { input: `${lines.join('\n')}\n` })
    expect(code).toBe(0)
    const records = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>)
    expect(records.map(({ status }) => status)).toEqual([
      'ok',
      'ok',
      'ok',
      'ok',
      'ok',
      'ok',
      'incomplete',
      'invalid',
      'invalid',
      'not-proxy',
      'invalid',
      'incomplete',
      'ok',
    ])
    const keys = ['status', 'version', 'command', 'family', 'protocol', 'sourceAddress', 'sourcePort']
    const more = ['destinationAddress', 'destinationPort', 'tlvs', 'headerLength', 'code', 'reason']
    for (const record of records) expect(Object.keys(record)).toEqual(expect.arrayContaining([...keys, ...more]))
    expect(records[0]).toMatchObject({
      version: 1,
      command: 'PROXY',
      sourceAddress: '203.0.113.7',
      sourcePort: 45_678,
      destinationAddress: '198.51.100.5',
      destinationPort: 25,
      headerLength: v1().length,
    })
    expect(records[1]).toMatchObject({ version: 2, headerLength: 28 + 10 + 7 })
    const [vendor, checksum] = (records[1]?.['tlvs'] ?? []) as readonly Record<string, unknown>[]
    expect(vendor).toMatchObject({ type: 0xea, valueHex: Buffer.from('\u0001vpce-1').toString('hex') })
    expect(checksum).toMatchObject({ type: 0x03 })
    expect(records[3]).toMatchObject({ command: 'LOCAL', sourceAddress: null, sourcePort: null, headerLength: 100 })
    expect(records[4]).toMatchObject({ version: 1, sourceAddress: null, destinationAddress: null })
    expect(records[5]).toMatchObject({ headerLength: v1().length })
    for (const record of [records[7], records[8], records[10]]) {
      expect(record?.['code']).toMatch(/^[A-Z]+(?:_[A-Z0-9]+)+$/)
      expect(record?.['reason']).toMatch(/\w/)
    }
    expect(records[12]).toMatchObject({ headerLength: 16 + 12 + 3 + 65_520 })
  })

  test('C7: the captures decode to what their senders meant', async () => {
    const rows = Object.values(captured)
    const input = rows.map(({ bytes }) => bytes.toString('hex')).join('\n')
    const { stdout } = await postern(['inspect', '--lines', '-'], { input })
    const records = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>)
    for (const [index, row] of rows.entries()) {
      expect(records[index]).toMatchObject({
        status: 'ok',
        sourceAddress: row.client,
        sourcePort: row.clientPort,
        destinationAddress: row.destination,
        destinationPort: row.destinationPort,
        headerLength: row.bytes.length,
      })
    }
    expect(JSON.stringify(records)).toContain('"vpce-08d2bf15fac5001c9"')
  })

  test('a command line that makes no sense is told so', async () => {
    for (const args of [
      ['inspect', '--hex', 'xyz'],
      ['inspect', '--hex', '00', 'file'],
      ['nonsense'],
      ['--nonsense'],
    ]) {
      const { code, stderr } = await postern(args)
      expect(code).toBe(64)
      expect(stderr).not.toBe('')
      expect(stderr).not.toMatch(/\n\s+at /)
    }
    expect(await postern(['inspect', '/does/not/exist'])).toMatchObject({ code: 74 })
  })
})

/** Writes a configuration, and gives what `check` says of it. */
async function check(text: string): Promise<{ code: number | null; stdout: string }> {
  const folder = temporaryFolder('check')
  writeFileSync(join(folder, 'postern.toml'), text)
  return postern(['check', '-c', 'postern.toml'], { cwd: folder })
}

function listenerOf(lines: string): string {
  return `[listener.mx]\nprotocol = "smtp"\ntls = "off"\n${lines}\n`
}

describe('postern check', () => {
  test.each([
    ['an unknown key', `${listenerOf('bind = "127.0.0.1:2"')}bnd = "x"\n`, 5, /listener\.mx.*bnd/],
    ['an unknown table', `[sever]\nhostname = "x"\n${listenerOf('bind = "127.0.0.1:2"')}`, 1, /sever.*server/s],
    ['a wrong type', listenerOf('bind = 25'), 4, /listener\.mx\.bind.*expected an IP address and a port.*found/],
    ['a word that is none', listenerOf('bind = "127.0.0.1:2"\nmax-connections = 0'), 5, /max-connections.*"unlimited"/],
    [
      'a unit that is missing',
      `[proxy]\nheader-timeout = 30\n${listenerOf('bind = "127.0.0.1:2"')}`,
      2,
      /header-timeout.*as in "30s"/,
    ],
    [
      'a timeout below the floor of three seconds',
      `[proxy]\nheader-timeout = "1s"\n${listenerOf('bind = "127.0.0.1:2"')}`,
      2,
      /from "3s"/,
    ],
    [
      'H2: a bracketed network',
      `[proxy]\ntrusted-networks = ["[2001:db8::1]"]\n${listenerOf('bind = "127.0.0.1:2"')}`,
      2,
      /trusted-networks\[0\]/,
    ],
    [
      'H2: a network with a prefix too long',
      `[proxy]\ntrusted-networks = ["10.0.0.0/33"]\n${listenerOf('bind = "127.0.0.1:2"')}`,
      2,
      /trusted-networks\[0\]/,
    ],
    [
      'H2: a network with host bits',
      `[proxy]\ntrusted-networks = ["10.0.0.1/8"]\n${listenerOf('bind = "127.0.0.1:2"')}`,
      2,
      /trusted-networks\[0\]/,
    ],
    [
      'H2: a short address',
      `[proxy]\ntrusted-networks = ["10.1"]\n${listenerOf('bind = "127.0.0.1:2"')}`,
      2,
      /trusted-networks\[0\]/,
    ],
    [
      'H2: a name',
      `[proxy]\ntrusted-networks = ["balancer.example.org"]\n${listenerOf('bind = "127.0.0.1:2"')}`,
      2,
      /trusted-networks\[0\]/,
    ],
    [
      'H13: a mode without networks',
      listenerOf('bind = "127.0.0.1:2"\n[listener.mx.proxy]\nmode = "require"'),
      5,
      /trusted/,
    ],
    ['no listener at all', '[server]\nhostname = "mx.example.org"\n', 0, /listener/],
    [
      'a port twice',
      listenerOf('bind = ["127.0.0.1:2", "0.0.0.0:2"]'),
      4,
      /listener\.mx\.bind\[1\].*nothing else of this gateway has/,
    ],
    ['TLS without a certificate', '[listener.mx]\nprotocol = "smtp"\nbind = "127.0.0.1:2"\n', 0, /tls\.certificates/],
    [
      'an accounts file that is not there',
      `${listenerOf('bind = "127.0.0.1:2"')}[accounts]\nfile = "none.toml"\n`,
      6,
      /postern user add/,
    ],
    ['no TOML', '[listener.mx\nprotocol = ', 1, /postern\.toml:1/],
  ])('%s', async (_, text, line, expected) => {
    const { code, stdout } = await check(text)
    expect(stdout).toMatch(expected)
    expect(stdout).toContain(line > 0 ? `postern.toml:${line}:` : 'postern.toml:')
    expect(stdout).toMatch(/\b1 problem\n$/)
    expect(code).toBe(1)
  })

  test('H13: all problems at once, each with its line', async () => {
    const { code, stdout } = await check(`[proxy]
trusted-networks = ["10.0.0.0/40"]
header-timeout = "soon"
[listener.mx]
protocol = "pop3"
bind = "everywhere"
[listener.imap]
protocol = "imap"
bind = "127.0.0.1"
[tls]
certificates = [{ cert = "no.pem", key = "no.key" }]
`)
    for (const line of [2, 3, 5, 6]) expect(stdout).toContain(`postern.toml:${line}:`)
    expect(stdout).toMatch(/tls\.certificates\[0\]\.cert: .*no\.pem/)
    expect(stdout).toMatch(/tls\.certificates\[0\]\.key: .*no\.key/)
    expect(code).toBe(1)
  })

  test('a file that others of the machine may read holds no passwords', async () => {
    const folder = temporaryFolder('check')
    writeFileSync(
      join(folder, 'postern.toml'),
      `${listenerOf('bind = "127.0.0.1:2"')}[accounts]\nfile = "accounts.toml"\n`,
    )
    writeFileSync(join(folder, 'accounts.toml'), '')
    chmodSync(join(folder, 'accounts.toml'), 0o644)
    const { code, stdout } = await postern(['check', '-c', 'postern.toml'], { cwd: folder })
    expect(stdout).toMatch(/chmod 600/)
    expect(code).toBe(1)
  })

  test('C3, H13: little is needed; the rest are defaults, and 143 is the port of IMAP', async () => {
    const { code, stdout } = await check('[listener.imap]\nprotocol = "imap"\nbind = "127.0.0.1"\ntls = "off"\n')
    expect(stdout).toContain('127.0.0.1:143')
    expect(code).toBe(0)
  })

  test('H2: a bare IPv6 address is one host, and networks of both families are taken', async () => {
    const networks = '["2001:db8::1", "2001:db8:1::/48", "::1", "10.0.0.0/8", "192.0.2.10"]'
    const { code, stdout } = await check(
      `[proxy]\ntrusted-networks = ${networks}\n${listenerOf('bind = "127.0.0.1:2"')}`,
    )
    expect(stdout).toMatch(/2001:db8::1\b/)
    expect(code).toBe(0)
  })

  test('S3: trust in everybody is warned about', async () => {
    const { code, stdout } = await check(
      `[proxy]\ntrusted-networks = ["0.0.0.0/0"]\n${listenerOf('bind = "127.0.0.1:2"')}`,
    )
    expect(stdout).toMatch(/postern\.toml:2: proxy\.trusted-networks\[0\]: warning: .*trusts everybody/)
    expect(code).toBe(0)
  })

  test('H13: `serve` refuses the same, with its own status, and starts nothing', async () => {
    const folder = temporaryFolder('check')
    writeFileSync(join(folder, 'postern.toml'), listenerOf('bind = 25'))
    const { code, stdout, stderr } = await postern(['serve', '-c', 'postern.toml'], { cwd: folder })
    expect(code).toBe(78)
    expect(`${stdout}${stderr}`).toContain('listener.mx.bind')
    expect(`${stdout}${stderr}`).not.toMatch(/\n\s+at /)
  })

  test('a port that is taken ends `serve` with a sentence', async () => {
    const ports = await freePorts('admin', 'smtp')
    const config = listener('mx', { protocol: 'smtp', bind: ports.smtp, mode: 'off' })
    const gateway = await startGateway({ config, adminPort: ports.admin })
    try {
      const second = await prepareFolder({ config, adminPort: (await freePorts('other')).other })
      const { code, stdout, stderr } = await postern(['serve', '-c', second.configFile], { cwd: second.folder })
      expect(code).not.toBe(0)
      expect(`${stdout}${stderr}`).toMatch(/EADDRINUSE|in use/)
      expect(`${stdout}${stderr}`).not.toMatch(/\n\s+at /)
    } finally {
      await gateway.stop()
    }
  })
})

describe('postern user', () => {
  let folder: string
  const run = (args: readonly string[], input = ''): ReturnType<typeof postern> =>
    postern(['user', ...args, '-c', 'postern.toml'], { cwd: folder, input })

  beforeAll(() => {
    folder = temporaryFolder('user')
    mkdirSync(join(folder, 'data'))
    const text = `[server]\ndata-dir = "data"\n[listener.mx]\nprotocol = "smtp"\nbind = "127.0.0.1:2"\ntls = "off"\n[accounts]\nfile = "accounts.toml"\n`
    writeFileSync(join(folder, 'postern.toml'), text)
  })

  test('C2: adds, lists, changes and removes accounts', async () => {
    expect(await run(['add', 'ann@example.org', '--password-stdin'], 'first password\n')).toMatchObject({ code: 0 })
    expect(await run(['add', 'bob@example.org', '--password-stdin'], 'another password\n')).toMatchObject({ code: 0 })
    expect((await run(['list'])).stdout).toBe('ann@example.org\nbob@example.org\n')
    expect(await run(['add', 'ann@example.org', '--password-stdin'], 'first password\n')).toMatchObject({ code: 1 })
    expect(await run(['passwd', 'ann@example.org', '--password-stdin'], 'second password\n')).toMatchObject({ code: 0 })
    expect(await run(['remove', 'bob@example.org'])).toMatchObject({ code: 0 })
    expect((await run(['list'])).stdout).toBe('ann@example.org\n')
    expect(await run(['remove', 'bob@example.org'])).toMatchObject({ code: 1 })
  })

  test('a password that is too short, and a name that is none, are refused', async () => {
    expect(await run(['add', 'carol@example.org', '--password-stdin'], 'short\n')).toMatchObject({ code: 1 })
    for (const name of ['', 'with space', 'line\nend', 'bell\u0007']) {
      expect(await run(['add', name, '--password-stdin'], 'long enough\n')).toMatchObject({ code: 64 })
    }
    expect(await run(['add', 'carol@example.org'], '')).toMatchObject({ code: 64 })
  })
})

describe('postern probe', () => {
  let gateway: Gateway
  let ports: Record<'admin' | 'smtp' | 'imap' | 'closed', number>

  beforeAll(async () => {
    ports = await freePorts('admin', 'smtp', 'imap', 'closed')
    const tables = [
      '[proxy]\ntrusted-networks = ["127.0.0.1"]\nheader-timeout = "3s"',
      listener('mx', { protocol: 'smtp', bind: ports.smtp, mode: 'require' }),
      listener('imap', { protocol: 'imap', bind: ports.imap, mode: 'require' }),
    ]
    gateway = await startGateway({ config: tables.join('\n\n'), adminPort: ports.admin, accounts: [ann] })
  })
  afterAll(async () => {
    await gateway?.stop()
  })

  test.each([
    ['smtp', 'v1', '203.0.113.40:4040'],
    ['smtp', 'v2', '203.0.113.41:4041'],
    ['smtp', 'v2', '[2001:db8::42]:4042'],
    ['imap', 'v1', '203.0.113.43:4043'],
    ['imap', 'v2', '203.0.113.44:4044'],
  ] as const)('plays the balancer: %s, %s, from %s', async (protocol, version, from) => {
    const port = protocol === 'smtp' ? ports.smtp : ports.imap
    const { code, stdout } = await postern(['probe', protocol, `127.0.0.1:${port}`, '--proxy', version, '--from', from])
    const client = from.replace(/:\d+$/, '').replace(/[[\]]/g, '')
    expect(code).toBe(0)
    expect(stdout).toContain(client)
    await gateway.waitForLog(
      `the client ${client}`,
      (record) => record.event === 'proxy.accepted' && record['client'] === client && record['via'] === version,
    )
  })

  test('tells of a server that refuses, and of one that is not there', async () => {
    const refused = await postern(['probe', 'smtp', `127.0.0.1:${ports.smtp}`], { timeoutMs: 60_000 })
    expect(refused.code).toBe(1)
    expect(`${refused.stdout}${refused.stderr}`).toMatch(/421/)
    const absent = await postern(['probe', 'smtp', `127.0.0.1:${ports.closed}`])
    expect(absent.code).toBe(69)
    expect(`${absent.stdout}${absent.stderr}`).not.toMatch(/\n\s+at /)
  })
})
