import { chmod, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { changeAccounts } from '../../src/auth/accounts-file.ts'
import { hashPassword } from '../../src/auth/password-hash.ts'
import { makeSelfSignedCertificate } from '../../src/certificate/self-signed.ts'
import { loadConfig, parseConfig } from '../../src/config/load.ts'
import type { Config, ConfigOutcome, ConfigProblem } from '../../src/config/schema.ts'
import { temporaryDirectory } from './temporary-directory.ts'

/** The least that runs: one listener without TLS. */
const least = `
[listener.mx]
protocol = "smtp"
bind = "127.0.0.1:2525"
tls = "off"
`

function read(text: string, baseDir = '/nowhere'): Promise<ConfigOutcome> {
  return parseConfig(text, { file: 'postern.toml', baseDir })
}

async function accepted(text: string, baseDir?: string): Promise<Config> {
  const outcome = await read(text, baseDir)
  if (!outcome.ok) throw new Error(outcome.problems.map(({ path, found }) => `${path}: ${found}`).join('\n'))
  return outcome.config
}

async function problemsIn(text: string, baseDir?: string): Promise<readonly ConfigProblem[]> {
  const outcome = await read(text, baseDir)
  return outcome.ok ? [] : outcome.problems
}

describe('a complete configuration', () => {
  test('H13: the least file is complete with defaults', async () => {
    const { start, live } = await accepted(least)
    expect(start).toEqual({
      workers: expect.any(Number),
      dataDir: '/nowhere/.postern',
      listeners: [{ name: 'mx', protocol: 'smtp', tls: 'off', bind: [{ host: '127.0.0.1', port: 2525 }] }],
      admin: { bind: { host: '127.0.0.1', port: 2080 } },
    })
    expect(start.workers).toBeGreaterThan(0)
    expect(live).toEqual({
      hostname: expect.stringMatching(/^[a-z0-9.-]+$/),
      logLevel: 'info',
      listeners: [
        {
          name: 'mx',
          requiresTls: false,
          maxConnections: 'unlimited',
          signIn: 'accounts',
          clientCertificates: 'off',
          whenBackendsDown: 'defer',
          proxy: {
            mode: 'off',
            trustedNetworks: [],
            headerTimeoutMs: 30_000,
            maxHeaderBytes: 4096,
            optionalWaitMs: 1_000,
            refusesSecondHeader: false,
          },
        },
      ],
      certificates: [],
      tls: { minVersion: 'TLSv1.2' },
      accounts: { takesCertificates: false },
      upstreams: [],
      lookups: [],
      routes: [],
      smtp: {
        localDomains: [live.hostname],
        maxMessageBytes: 26_214_400,
        maxRecipients: 1_000,
        bareNewline: 'normalize',
        nul: 'reject',
        submissionSender: 'own',
        subaddressSeparator: '+',
        errorDelayMs: 1_000,
        bounds: {
          firstCommandPatienceMs: 60_000,
          commandPatienceMs: 300_000,
          dataBlockPatienceMs: 180_000,
          minDataBytesPerSecond: 500,
          maxCommandLineBytes: 4_096,
          maxHeaderSectionBytes: 262_144,
          maxHops: 50,
          maxErrors: 20,
          maxIdleCommands: 100,
          maxFailedAuthentications: 3,
        },
        multi: 'defer',
        relayNetworks: [],
        xclientNetworks: [],
        xforwardNetworks: [],
      },
      imap: { idNetworks: [], mayUnauthenticate: true },
      dns: { servers: [], timeoutMs: 2_000, tries: 2, clientNames: true },
      policy: {
        deny: [],
        ignoredHosts: [],
        exemptNetworks: [],
        access: [],
        dnsLists: [],
        hello: { syntax: 'off', unqualified: 'off', ownName: 'off', addressLiteral: 'off' },
        rate: {
          connectionsPerClient: 'unlimited',
          connectionsPerNetwork: 'unlimited',
          commandsPerClient: 'unlimited',
          messagesPerClient: 'unlimited',
          messagesPerUser: 'unlimited',
          recipientsPerClient: 'unlimited',
          recipientsPerUser: 'unlimited',
          failedLoginsPerClient: { count: 30, perMs: 600_000 },
          failedLoginsPerUser: { count: 100, perMs: 3_600_000 },
        },
        concurrency: { connectionsPerClient: 100, connectionsPerNetwork: 'unlimited', sessionsPerUser: 100 },
        networkBits: { ipv4: 24, ipv6: 48 },
        ban: { firstMs: 600_000, longestMs: 86_400_000 },
      },
      limits: {
        maxConnectionsPerWorker: 20_000,
        workerMemoryBytes: 2_147_483_648,
        maxTlsHandshakesPerWorker: 1000,
        tlsHandshakeTimeoutMs: 10_000,
        drainTimeoutMs: 30_000,
        drainNoticeMs: 10_000,
        passwordChecksAtOnce: 2,
        passwordChecksWaiting: 64,
      },
    })
  })

  test('every key arrives where it belongs', async () => {
    const { start, live } = await accepted(`
[server]
hostname = "MX.Example.org"
workers = 3
data-dir = "/var/mail"
[proxy]
trusted-networks = ["10.0.0.0/8", "192.0.2.10", "::1"]
header-timeout = "5s"
max-header-bytes = "65551B"
[listener.mx]
protocol = "smtp"
bind = ["0.0.0.0:25", "[::]:25"]
tls = "off"
max-connections = 500
require-tls = true
[listener.mx.proxy]
mode = "require"
trusted-networks = ["10.1.0.0/16"]
tls-networks = ["10.1.2.0/24"]
optional-wait = "2s"
refuse-second-header = true
[smtp]
local-domains = ["Example.ORG"]
max-message-size = "1MiB"
max-recipients = 100
bare-newline = "reject"
nul = "strip"
submission-sender = "any"
error-delay = "off"
multi = "fanout"
xclient-networks = ["10.3.0.1"]
xforward-networks = ["10.4.0.0/16"]
greeting-delay = "2s"
greeting-tease = true
session-timeout = "2h"
first-command-timeout = "30s"
command-timeout = "2m"
data-timeout = "1m"
min-data-rate = "1KiB"
max-command-line = "2KiB"
max-header-size = "128KiB"
max-hops = 25
max-errors = 10
max-idle-commands = 50
max-failed-logins = 2

[imap]
id-networks = ["10.5.0.1"]
unauthenticate = false
[dns]
servers = ["192.0.2.53", "[2001:db8::53]:5353"]
timeout = "500ms"
tries = 1
client-names = false
[policy]
deny = ["203.0.113.0/24"]
deny-reply = { code = 550, text = "5.7.1 Go away" }
ignored-hosts = ["10.0.0.0/24"]
exempt-networks = ["127.0.0.1"]
[policy.rate]
connections-per-client = "10/1m"
[policy.concurrency]
connections-per-client = "unlimited"
sessions-per-user = 30
[limits]
max-connections-per-worker = "unlimited"
worker-memory = "512MiB"
max-tls-handshakes-per-worker = 8
tls-handshake-timeout = "5s"
drain-timeout = "1m"
drain-notice = "20s"
password-checks-at-once = 4
password-checks-waiting = 5
[log]
level = "debug"
[admin]
bind = "off"
`)
    expect(start).toMatchObject({ workers: 3, dataDir: '/var/mail', admin: {} })
    expect(start.listeners[0]?.bind).toEqual([
      { host: '0.0.0.0', port: 25 },
      { host: '::', port: 25 },
    ])
    expect(live).toMatchObject({
      hostname: 'MX.Example.org',
      logLevel: 'debug',
      listeners: [
        {
          name: 'mx',
          requiresTls: true,
          maxConnections: 500,
          proxy: {
            mode: 'require',
            trustedNetworks: ['10.1.0.0/16'],
            headerTimeoutMs: 5_000,
            maxHeaderBytes: 65_551,
            tlsNetworks: ['10.1.2.0/24'],
            optionalWaitMs: 2_000,
            refusesSecondHeader: true,
          },
        },
      ],
      smtp: {
        localDomains: ['example.org'],
        maxMessageBytes: 1_048_576,
        maxRecipients: 100,
        bareNewline: 'reject',
        nul: 'strip',
        submissionSender: 'any',
        errorDelayMs: 0,
        greetingDelay: { delayMs: 2_000, isTeasing: true },
        maxSessionMs: 7_200_000,
        bounds: {
          firstCommandPatienceMs: 30_000,
          commandPatienceMs: 120_000,
          dataBlockPatienceMs: 60_000,
          minDataBytesPerSecond: 1_024,
          maxCommandLineBytes: 2_048,
          maxHeaderSectionBytes: 131_072,
          maxHops: 25,
          maxErrors: 10,
          maxIdleCommands: 50,
          maxFailedAuthentications: 2,
        },
        multi: 'fanout',
        xclientNetworks: ['10.3.0.1'],
        xforwardNetworks: ['10.4.0.0/16'],
      },
      imap: { idNetworks: ['10.5.0.1'], mayUnauthenticate: false },
      dns: { servers: ['192.0.2.53', '[2001:db8::53]:5353'], timeoutMs: 500, tries: 1, clientNames: false },
      policy: {
        deny: ['203.0.113.0/24'],
        denyReply: { code: 550, text: '5.7.1 Go away' },
        ignoredHosts: ['10.0.0.0/24'],
        exemptNetworks: ['127.0.0.1'],
        access: [],
        dnsLists: [],
        hello: { syntax: 'off', unqualified: 'off', ownName: 'off', addressLiteral: 'off' },
        rate: {
          connectionsPerClient: { count: 10, perMs: 60_000 },
          connectionsPerNetwork: 'unlimited',
          commandsPerClient: 'unlimited',
          messagesPerClient: 'unlimited',
          messagesPerUser: 'unlimited',
          recipientsPerClient: 'unlimited',
          recipientsPerUser: 'unlimited',
          failedLoginsPerClient: { count: 30, perMs: 600_000 },
          failedLoginsPerUser: { count: 100, perMs: 3_600_000 },
        },
        concurrency: { connectionsPerClient: 'unlimited', connectionsPerNetwork: 'unlimited', sessionsPerUser: 30 },
        networkBits: { ipv4: 24, ipv6: 48 },
        ban: { firstMs: 600_000, longestMs: 86_400_000 },
      },
      limits: {
        maxConnectionsPerWorker: 'unlimited',
        workerMemoryBytes: 536_870_912,
        maxTlsHandshakesPerWorker: 8,
        tlsHandshakeTimeoutMs: 5_000,
        drainTimeoutMs: 60_000,
        drainNoticeMs: 20_000,
        passwordChecksAtOnce: 4,
        passwordChecksWaiting: 5,
      },
    })
  })

  test('it is frozen throughout, and crosses to another process as it is', async () => {
    const config = await accepted(least)
    expect(Object.isFrozen(config.live.policy.rate) && Object.isFrozen(config.start.listeners[0]?.bind)).toBe(true)
    expect(JSON.parse(JSON.stringify(config))).toEqual(config)
  })

  test.each([
    [
      'W3: a listener’s own list replaces the global one',
      'trusted-networks = ["10.1.0.0/16"]',
      ['10.1.0.0/16'],
      'mixed',
    ],
    ['W2: without a list of its own a listener has the global one', '', ['10.0.0.0/8', '2001:db8::/32'], 'mixed'],
    ['an empty list of its own trusts nobody', 'trusted-networks = []', [], 'off'],
    ['a mode that is written holds', 'mode = "off"', ['10.0.0.0/8', '2001:db8::/32'], 'off'],
  ])('%s', async (_, keys, trustedNetworks, mode) => {
    const text = `[proxy]\ntrusted-networks = ["10.0.0.0/8", "2001:db8::/32"]\n${least}[listener.mx.proxy]\n${keys}\n`
    const { live } = await accepted(text)
    expect(live.listeners[0]?.proxy).toMatchObject({ trustedNetworks, mode })
  })

  test('H1: without any trusted network no listener takes a header', async () => {
    expect((await accepted(least)).live.listeners[0]?.proxy.mode).toBe('off')
  })

  test.each([
    ['C3: imap', 'imap', 'off', 143],
    ['imap with implicit TLS', 'imap', 'implicit', 993],
    ['smtp', 'smtp', 'off', 25],
    ['smtp with implicit TLS', 'smtp', 'implicit', 465],
    ['submission', 'submission', 'starttls', 587],
    ['LMTP', 'lmtp', 'starttls', 24],
    ['submission with implicit TLS', 'submission', 'implicit', 465],
  ])('the port of %s, when none is written', async (_, protocol, tls, port) => {
    const directory = await directoryWithCertificate()
    const text = `[listener.a]\nprotocol = "${protocol}"\nbind = "[::1]"\ntls = "${tls}"\n${certificates}`
    expect((await accepted(text, directory)).start.listeners[0]?.bind).toEqual([{ host: '::1', port }])
  })
})

// ── what can be wrong in the text ───────────────────────────────────────────

interface Row {
  readonly name: string
  readonly text: string
  readonly line: number
  readonly path: string
  readonly expected: RegExp
  readonly found: RegExp
  readonly hint?: string
}

const listener = '[listener.mx]\nprotocol = "smtp"\ntls = "off"\n'

const rows: readonly Row[] = [
  { name: 'an empty file', text: '', line: 1, path: 'listener', expected: /at least one table/, found: /none/ },
  {
    name: 'broken TOML',
    text: `${least}x = = 1`,
    line: 6,
    path: '',
    expected: /TOML/,
    found: /invalid value, column 5/,
  },
  { name: 'a key twice', text: `${least}tls = "off"`, line: 6, path: '', expected: /TOML/, found: /column/ },
  {
    name: 'an unknown table',
    text: `${least}[listner.b]`,
    line: 6,
    path: 'listner',
    expected: /a table/,
    found: /"listner"/,
    hint: 'did you mean "listener"?',
  },
  {
    name: 'an unknown key',
    text: `${least}[proxy]\nheader-timout = "3s"`,
    line: 7,
    path: 'proxy.header-timout',
    expected: /\[proxy\]/,
    found: /header-timout/,
    hint: 'did you mean "header-timeout"?',
  },
  {
    name: 'a key with underscores',
    text: `${least}[proxy]\ntrusted_networks = []`,
    line: 7,
    path: 'proxy.trusted_networks',
    expected: /a key/,
    found: /trusted_networks/,
    hint: 'did you mean "trusted-networks"?',
  },
  {
    name: 'an unknown key of a listener',
    text: `${least}port = 25`,
    line: 6,
    path: 'listener.mx.port',
    expected: /\[listener\.mx\]/,
    found: /port/,
  },
  {
    name: 'JS-01: __proto__ as a table',
    text: `${least}[listener.__proto__]\nx = 1`,
    line: 6,
    path: 'listener.__proto__',
    expected: /a key/,
    found: /__proto__/,
  },
  {
    name: 'JS-01: constructor as a key',
    text: `${least}[server]\nconstructor = 1`,
    line: 7,
    path: 'server.constructor',
    expected: /a key/,
    found: /constructor/,
  },
  {
    name: 'a listener named in capitals',
    text: `${least}[listener.MX]\nprotocol = "smtp"\nbind = "127.0.0.1:2526"`,
    line: 6,
    path: 'listener.MX',
    expected: /lower-case/,
    found: /"MX"/,
  },
  {
    name: 'a table where a value should be',
    text: `${least}[server.workers]\nx = 1`,
    line: 6,
    path: 'server.workers',
    expected: /"auto", or a whole number/,
    found: /a table/,
  },
  {
    name: 'a value where a table should be',
    text: `proxy = true\n${least}`,
    line: 1,
    path: 'proxy',
    expected: /a table/,
    found: /true/,
  },
  {
    name: 'a DNS server by its name',
    text: `${least}[dns]\nservers = ["192.0.2.53", "dns.example.org"]`,
    line: 7,
    path: 'dns.servers[1]',
    expected: /an IP address, or one with a port/,
    found: /"dns\.example\.org"/,
  },
  {
    name: 'a DNS server at port 0',
    text: `${least}[dns]\nservers = ["192.0.2.53:0"]`,
    line: 7,
    path: 'dns.servers[0]',
    expected: /an IP address, or one with a port/,
    found: /"192\.0\.2\.53:0"/,
  },
  {
    name: 'text where a number should be',
    text: `${least}[smtp]\nmax-recipients = "200"`,
    line: 7,
    path: 'smtp.max-recipients',
    expected: /a whole number from 100/,
    found: /"200"/,
  },
  {
    name: 'a fraction',
    text: `${least}[smtp]\nmax-recipients = 100.5`,
    line: 7,
    path: 'smtp.max-recipients',
    expected: /a whole number/,
    found: /100\.5/,
  },
  {
    name: 'a date where text should be',
    text: `${least}[server]\nhostname = 2026-01-01`,
    line: 7,
    path: 'server.hostname',
    expected: /a domain name/,
    found: /the date 2026/,
  },
  {
    name: 'a number where a list should be',
    text: `${least}[policy]\ndeny = 7`,
    line: 7,
    path: 'policy.deny',
    expected: /a list of addresses/,
    found: /7/,
  },
  {
    name: 'text where a list should be',
    text: `${least}[proxy]\ntrusted-networks = "10.0.0.0/8"`,
    line: 7,
    path: 'proxy.trusted-networks',
    expected: /a list/,
    found: /"10\.0\.0\.0\/8"/,
  },
  {
    name: 'no protocol',
    text: '[listener.mx]\nbind = "127.0.0.1"\ntls = "off"',
    line: 1,
    path: 'listener.mx.protocol',
    expected: /"smtp", "submission", "lmtp", "imap"/,
    found: /nothing/,
  },
  {
    name: 'an unknown protocol',
    text: `[listener.mx]\nprotocol = "imaps"\nbind = "127.0.0.1"`,
    line: 2,
    path: 'listener.mx.protocol',
    expected: /one of/,
    found: /"imaps"/,
    hint: 'did you mean "imap"?',
  },
  {
    name: 'an unknown mode',
    text: `${least}[listener.mx.proxy]\nmode = "on"`,
    line: 7,
    path: 'listener.mx.proxy.mode',
    expected: /"require"/,
    found: /"on"/,
  },
  {
    name: 'nowhere to listen',
    text: listener,
    line: 1,
    path: 'listener.mx.bind',
    expected: /an IP address and a port/,
    found: /nothing/,
  },
  {
    name: 'an empty list of addresses',
    text: `${listener}bind = []`,
    line: 4,
    path: 'listener.mx.bind',
    expected: /at least one/,
    found: /an empty list/,
  },
  {
    name: 'a host name to listen on',
    text: `${listener}bind = "localhost:25"`,
    line: 4,
    path: 'listener.mx.bind',
    expected: /an IP address/,
    found: /localhost/,
  },
  {
    name: 'port 65536',
    text: `${listener}bind = [\n"127.0.0.1:25",\n"127.0.0.1:65536"]`,
    line: 6,
    path: 'listener.mx.bind[1]',
    expected: /a port/,
    found: /65536/,
  },
  {
    name: 'IPv6 without brackets',
    text: `${listener}bind = "::1:25"`,
    line: 4,
    path: 'listener.mx.bind',
    expected: /\[::\]:25/,
    found: /::1:25/,
  },
  {
    name: 'IPv4 in brackets',
    text: `${listener}bind = "[127.0.0.1]:25"`,
    line: 4,
    path: 'listener.mx.bind',
    expected: /an IP address/,
    found: /\[127/,
  },
  {
    name: 'H2: a bracketed network',
    text: `${least}[proxy]\ntrusted-networks = ["[::1]"]`,
    line: 7,
    path: 'proxy.trusted-networks[0]',
    expected: /without brackets/,
    found: /"\[::1\]"/,
  },
  {
    name: 'H2: a malformed address',
    text: `${least}[proxy]\ntrusted-networks = ["10.0.0.256"]`,
    line: 7,
    path: 'proxy.trusted-networks[0]',
    expected: /an IPv4 or IPv6 address/,
    found: /10\.0\.0\.256/,
  },
  {
    name: 'a short address',
    text: `${least}[policy]\ndeny = ["10.0.0"]`,
    line: 7,
    path: 'policy.deny[0]',
    expected: /an IPv4 or IPv6 address/,
    found: /"10\.0\.0"/,
  },
  {
    name: 'an address with octal digits',
    text: `${least}[policy]\ndeny = ["010.0.0.1"]`,
    line: 7,
    path: 'policy.deny[0]',
    expected: /an IPv4 or IPv6 address/,
    found: /010/,
  },
  {
    name: 'a prefix that is too long',
    text: `${least}[policy]\ndeny = ["10.0.0.0/33"]`,
    line: 7,
    path: 'policy.deny[0]',
    expected: /from 0 to 32/,
    found: /\/33/,
  },
  {
    name: 'bits behind the prefix',
    text: `${least}[policy]\nignored-hosts = ["10.0.0.1/24"]`,
    line: 7,
    path: 'policy.ignored-hosts[0]',
    expected: /10\.0\.0\.0\/24/,
    found: /10\.0\.0\.1\/24/,
  },
  {
    name: 'a duration without a unit',
    text: `${least}[proxy]\nheader-timeout = 30`,
    line: 7,
    path: 'proxy.header-timeout',
    expected: /a duration, as in "30s"/,
    found: /30/,
  },
  {
    name: 'H4: a header timeout under its floor',
    text: `${least}[proxy]\nheader-timeout = "2s"`,
    line: 7,
    path: 'proxy.header-timeout',
    expected: /from "3s"/,
    found: /"2s"/,
  },
  {
    name: 'zero for no limit',
    text: `${least}[policy.concurrency]\nconnections-per-client = 0`,
    line: 7,
    path: 'policy.concurrency.connections-per-client',
    expected: /from 1 .* or "unlimited"/,
    found: /0/,
  },
  {
    name: 'minus one for no limit',
    text: `${least}[limits]\nmax-connections-per-worker = -1`,
    line: 7,
    path: 'limits.max-connections-per-worker',
    expected: /"unlimited"/,
    found: /-1/,
  },
  {
    name: 'less memory than a worker starts with',
    text: `${least}[limits]\nworker-memory = "1MiB"`,
    line: 7,
    path: 'limits.worker-memory',
    expected: /"64MiB".*"unlimited"/,
    found: /1MiB/,
  },
  {
    name: 'a rate of zero',
    text: `${least}[policy.rate]\nconnections-per-client = "0/1m"`,
    line: 7,
    path: 'policy.rate.connections-per-client',
    expected: /"10\/1m"/,
    found: /"0\/1m"/,
  },
  {
    name: 'a size in decimal units',
    text: `${least}[smtp]\nmax-message-size = "25MB"`,
    line: 7,
    path: 'smtp.max-message-size',
    expected: /"25MiB"/,
    found: /"25MB"/,
  },
  {
    name: 'a header bound above the protocol’s',
    text: `${least}[proxy]\nmax-header-bytes = "65552B"`,
    line: 7,
    path: 'proxy.max-header-bytes',
    expected: /"65551B"/,
    found: /65552/,
  },
  {
    name: 'a host name with an underscore',
    text: `${least}[server]\nhostname = "mx_1"`,
    line: 7,
    path: 'server.hostname',
    expected: /a domain name/,
    found: /mx_1/,
  },
  {
    name: 'a local domain outside ASCII',
    text: `${least}[smtp]\nlocal-domains = ["bücher.example"]`,
    line: 7,
    path: 'smtp.local-domains[0]',
    expected: /xn--/,
    found: /bücher/,
  },
  {
    name: 'a reply code that is none',
    text: `${least}[policy]\ndeny-reply = { code = 200, text = "x" }`,
    line: 7,
    path: 'policy.deny-reply.code',
    expected: /400 to 599/,
    found: /200/,
  },
  {
    name: 'a reply that would be two lines',
    text: `${least}[policy]\ndeny-reply = { text = "no\\r\\n250 yes" }`,
    line: 7,
    path: 'policy.deny-reply.text',
    expected: /a line of printable ASCII/,
    found: /no\\r\\n250 yes/,
  },
  {
    name: 'too many workers',
    text: `${least}[server]\nworkers = 1000`,
    line: 7,
    path: 'server.workers',
    expected: /from 1 to 256/,
    found: /1000/,
  },
  {
    name: 'mode require that trusts nobody',
    text: `${least}[listener.mx.proxy]\nmode = "require"`,
    line: 6,
    path: 'listener.mx.proxy.trusted-networks',
    expected: /the networks of the balancers/,
    found: /none/,
  },
  {
    name: 'TLS required of IMAP',
    text: `${listener.replace('smtp', 'imap')}bind = "127.0.0.1:2525"\nrequire-tls = true`,
    line: 5,
    path: 'listener.mx.require-tls',
    expected: /SMTP or LMTP/,
    found: /protocol = "imap"/,
  },
  {
    name: 'TLS required where nobody can have it',
    text: `${least}require-tls = true`,
    line: 6,
    path: 'listener.mx.require-tls',
    expected: /TLS here.*or balancers that tell of theirs/,
    found: /tls = "off"/,
  },
  {
    name: 'TLS required where no balancer is believed to have ended any',
    text: `${least}require-tls = true\n[listener.mx.proxy]\ntrusted-networks = ["10.0.0.0/8"]\ntls-networks = []`,
    line: 6,
    path: 'listener.mx.require-tls',
    expected: /`proxy\.tls-networks`/,
    found: /tls = "off"/,
  },
  {
    name: 'TLS without a certificate',
    text: '[listener.mx]\nprotocol = "smtp"\nbind = "127.0.0.1"',
    line: 1,
    path: 'tls.certificates',
    expected: /a certificate and its key/,
    found: /listener mx/,
  },
  {
    name: 'one port twice',
    text: `${least}[listener.b]\nprotocol = "imap"\nbind = "127.0.0.1:2525"\ntls = "off"`,
    line: 8,
    path: 'listener.b.bind',
    expected: /that nothing else/,
    found: /listener\.mx\.bind has 127\.0\.0\.1:2525/,
  },
  {
    name: 'one port twice in one listener',
    text: `${listener}bind = ["[::1]:25", "[0:0:0:0:0:0:0:1]:25"]`,
    line: 4,
    path: 'listener.mx.bind[1]',
    expected: /that nothing else/,
    found: /bind\[0\]/,
  },
  {
    name: 'a port that a wildcard covers',
    text: `${least}[listener.b]\nprotocol = "imap"\nbind = "0.0.0.0:2525"\ntls = "off"`,
    line: 8,
    path: 'listener.b.bind',
    expected: /that nothing else/,
    found: /0\.0\.0\.0:2525/,
  },
  {
    name: 'the port of the admin endpoint',
    text: `${least}[admin]\nbind = "127.0.0.1:2525"`,
    line: 7,
    path: 'admin.bind',
    expected: /that nothing else/,
    found: /listener\.mx\.bind/,
  },
  {
    name: 'a certificate without its key',
    text: `${least}[tls]\ncertificates = [{ cert = "a.pem" }]`,
    line: 7,
    path: 'tls.certificates[0].key',
    expected: /the name of a file/,
    found: /nothing/,
  },
  {
    name: 'a certificate file that is not there',
    text: `${least}[tls]\ncertificates = [{ cert = "a.pem", key = "b.pem" }]`,
    line: 7,
    path: 'tls.certificates[0].cert',
    expected: /can be read/,
    found: /\/nowhere\/a\.pem: no such file/,
  },
  {
    name: 'an accounts file that is not there',
    text: `${least}[accounts]\nfile = "who.toml"`,
    line: 7,
    path: 'accounts.file',
    expected: /can be read/,
    found: /\/nowhere\/who\.toml: no such file/,
    hint: 'make it with `postern user add NAME -c FILE`',
  },
]

test.each(rows)('refused, with file, line and path: $name', async ({ text, line, path, expected, found, hint }) => {
  const problems = await problemsIn(text)
  const problem = problems.find((one) => one.path === path)
  expect(problem).toMatchObject({ file: 'postern.toml', line })
  expect(problem?.expected).toMatch(expected)
  expect(problem?.found).toMatch(found)
  expect(problem?.hint).toBe(hint)
})

describe('all problems at once', () => {
  test('wrong types, unknown keys, missing files and collisions are told together, in the order of the file', async () => {
    const problems = await problemsIn(`[server]
workers = 0
[proxy]
trusted-networks = ["10.0.0.0/8", "nonsense", "::g"]
[listener.a]
protocol = "smtp"
bind = "127.0.0.1:25"
tls = "off"
colour = "red"
[listener.b]
protocol = "imap"
bind = "127.0.0.1:25"
[tls]
certificates = [{ cert = "none.pem", key = "none.key" }]
[accounts]
file = "none.toml"
`)
    expect(problems.map(({ line, path }) => `${line} ${path}`)).toEqual([
      '2 server.workers',
      '4 proxy.trusted-networks[1]',
      '4 proxy.trusted-networks[2]',
      '9 listener.a.colour',
      '12 listener.b.bind',
      '14 tls.certificates[0].cert',
      '14 tls.certificates[0].key',
      '16 accounts.file',
    ])
  })

  test('a listener with a name that is none is looked into all the same', async () => {
    const problems = await problemsIn('[listener.Mx]\nprotocol = "pop3"\nbind = "everywhere"\ntsl = "off"\n')
    expect(problems.map(({ line, path }) => `${line} ${path}`)).toEqual([
      '1 listener.Mx',
      '2 listener.Mx.protocol',
      '3 listener.Mx.bind',
      '4 listener.Mx.tsl',
    ])
  })

  test('one mistake is told once: what depends on it is not called wrong as well', async () => {
    const text = `[proxy]\ntrusted-networks = ["nonsense"]\n[listener.a]\nprotocol = "smtp"\nbind = "127.0.0.1"\n[listener.a.proxy]\nmode = "require"\n[tls]\ncertificates = 1\n`
    expect((await problemsIn(text)).map(({ path }) => path)).toEqual(['proxy.trusted-networks[0]', 'tls.certificates'])
  })
})

describe('secrets are never shown', () => {
  test.each([
    ['a password as an unknown key', '[accounts]\npassword = "hunter2"'],
    [
      'a private key instead of its file',
      '[tls]\ncertificates = [{ cert = 7, key = """\n-----BEGIN PRIVATE KEY-----\nhunter2\n""" }]',
    ],
    ['a hash instead of a file', '[accounts]\nfile = ["$argon2id$hunter2"]'],
    ['broken TOML beside a secret', '[accounts]\npassword = "hunter2" x'],
  ])('%s', async (_, text) => {
    const problems = await problemsIn(`${least}${text}`)
    expect(problems.length).toBeGreaterThan(0)
    expect(JSON.stringify(problems)).not.toContain('hunter2')
  })
})

// ── warnings ────────────────────────────────────────────────────────────────

describe('loud warnings', () => {
  test.each([
    [
      'S3: trust of all of IPv4',
      '[proxy]\ntrusted-networks = ["0.0.0.0/0"]',
      'proxy.trusted-networks[0]',
      /trusts everybody/,
    ],
    [
      'S3: trust of all of IPv6 at one listener',
      '[listener.mx.proxy]\ntrusted-networks = ["::1", "::/0"]',
      'listener.mx.proxy.trusted-networks[1]',
      /trusts everybody/,
    ],
    [
      'trust of half the Internet',
      '[proxy]\ntrusted-networks = ["128.0.0.0/1"]',
      'proxy.trusted-networks[0]',
      /trusts everybody/,
    ],
    ['no limits for anybody', '[policy]\nexempt-networks = ["0.0.0.0/0"]', 'policy.exempt-networks[0]', /limits away/],
    [
      'a word on TLS where nobody sends headers',
      '[listener.mx.proxy]\ntls-networks = ["10.0.0.1"]',
      'listener.mx.proxy.tls-networks',
      /nobody sends a header here/,
    ],
    ['an admin endpoint for everybody', '[admin]\nbind = "0.0.0.0:2080"', 'admin.bind', /no password/],
    [
      'a listener where nobody can sign in',
      '[listener.i]\nprotocol = "imap"\nbind = "127.0.0.1"\ntls = "off"',
      'accounts.file',
      /nobody can sign in on listener i/,
    ],
  ])('%s', async (_, text, path, message) => {
    const outcome = await read(`${least}${text}\n`)
    expect(outcome).toMatchObject({
      ok: true,
      warnings: [{ file: 'postern.toml', path, message: expect.stringMatching(message) }],
    })
  })

  test('S1: a header may be required of everybody', async () => {
    const { live } = await accepted(
      `${least}[listener.mx.proxy]\nmode = "require"\ntrusted-networks = ["0.0.0.0/0", "::/0"]`,
    )
    expect(live.listeners[0]?.proxy).toMatchObject({ mode: 'require', trustedNetworks: ['0.0.0.0/0', '::/0'] })
  })

  test('an ordinary configuration has none', async () => {
    const outcome = await read(`${least}[listener.mx.proxy]\ntrusted-networks = ["10.0.0.0/8"]`)
    expect(outcome).toMatchObject({ ok: true, warnings: [] })
  })
})

// ── files ───────────────────────────────────────────────────────────────────

const certificates = '[tls]\ncertificates = [{ cert = "mx.pem", key = "mx.key" }]\n'
const withTls = `[listener.mx]\nprotocol = "smtp"\nbind = "127.0.0.1"\n${certificates}`

async function directoryWithCertificate(validFrom = Date.now() - 60_000): Promise<string> {
  const directory = await temporaryDirectory()
  const { cert, key } = await makeSelfSignedCertificate({
    hostname: 'mx.example',
    notBefore: new Date(validFrom),
    validDays: 2,
  })
  await writeFile(join(directory, 'mx.pem'), cert)
  await writeFile(join(directory, 'mx.key'), key, { mode: 0o600 })
  return directory
}

/** A folder with an accounts file and a secret. */
async function directoryWithSecret(secret = 'the secret\n', mode = 0o600): Promise<string> {
  const directory = await temporaryDirectory()
  await writeFile(join(directory, 'who.toml'), '', { mode: 0o600 })
  await writeFile(join(directory, 'oauth.secret'), secret, { mode })
  return directory
}

describe('files that it names', () => {
  test('a certificate and its key come along as they were checked', async () => {
    const directory = await directoryWithCertificate()
    const { live } = await accepted(withTls, directory)
    expect(live.certificates).toMatchObject([
      {
        certFile: join(directory, 'mx.pem'),
        keyFile: join(directory, 'mx.key'),
        cert: expect.stringContaining('BEGIN CERTIFICATE'),
        key: expect.stringContaining('BEGIN PRIVATE KEY'),
      },
    ])
  })

  const withAccounts = `${least}[accounts]\nfile = "who.toml"\n`

  test.each([
    ['one of another domain', ['info@example.net'], '', ['info@example.net']],
    ['one without a domain', ['info'], '', ['info']],
    ['several', ['info@example.net', 'help@Example.ORG', 'x@example.net', 'y'], '', ['info@example.net and 2 more']],
    ['none of another domain', ['info@Example.org'], '', []],
    ['any, where a route leads into the store', ['info@example.net'], '[[route]]\nto = "store"\n', []],
    [
      'any, where a directory may lead into the store',
      ['info@example.net'],
      '[[route]]\nask = "people"\n[lookup.people]\nurl = "http://127.0.0.1:8000/"\n',
      [],
    ],
  ])('aliases that no mail can reach are warned of: %s', async (_, aliases, routes, named) => {
    const directory = await temporaryDirectory()
    const password = await hashPassword('a password')
    await changeAccounts(join(directory, 'who.toml'), () => new Map([['ann@example.org', { password, aliases }]]))
    const outcome = await read(`${withAccounts}[smtp]\nlocal-domains = ["example.org"]\n${routes}`, directory)
    expect(outcome.ok && outcome.warnings.map(({ path, message }) => `${path}: ${message}`)).toEqual(
      named.map(
        (alias) => `accounts.file: no mail comes for the alias ${alias}: the domain is none of smtp.local-domains`,
      ),
    )
  })

  const oauth = '[accounts.oauth]\nintrospection-url = "https://id.example.org/introspect"\n'

  test('who knows tokens, and our secret with them', async () => {
    const directory = await directoryWithSecret()
    const all = [
      'client-id = "postern"\nclient-secret-file = "oauth.secret"\naccount-claim = "email"\nscope = "mail openid"',
      'audience = "mail"\ndiscovery-url = "https://id.example.org/.well-known/openid-configuration"',
      'timeout = "2s"\ncache-time = "off"',
    ]
    expect((await accepted(withAccounts + oauth, directory)).live.accounts.oauth).toEqual({
      introspectionUrl: 'https://id.example.org/introspect',
      accountClaim: 'username',
      timeoutMs: 5_000,
      cacheMs: 60_000,
    })
    expect((await accepted(withAccounts + oauth + all.join('\n'), directory)).live.accounts.oauth).toEqual({
      introspectionUrl: 'https://id.example.org/introspect',
      clientId: 'postern',
      clientSecret: 'the secret',
      accountClaim: 'email',
      scope: 'mail openid',
      audience: 'mail',
      discoveryUrl: 'https://id.example.org/.well-known/openid-configuration',
      timeoutMs: 2_000,
      cacheMs: 0,
    })
  })

  test.each([
    ['no accounts file', least + oauth, 'accounts.file', /too/],
    ['no address', `${withAccounts}[accounts.oauth]\n`, 'accounts.oauth.introspection-url', /https/],
    ['in the clear', withAccounts + oauth.replace('https', 'http'), 'accounts.oauth.introspection-url', /https/],
    ['a password in it', withAccounts + oauth.replace('id.', 'u:p@'), 'accounts.oauth.introspection-url', /https/],
    ['a scope with two blanks', `${withAccounts}${oauth}scope = "a  b"`, 'accounts.oauth.scope', /single blanks/],
    [
      'no secret',
      `${withAccounts}${oauth}client-id = "p"\nclient-secret-file = "no"`,
      'accounts.oauth.client-secret-file',
      /read/,
    ],
    [
      'a secret of nobody',
      `${withAccounts}${oauth}client-secret-file = "oauth.secret"`,
      'accounts.oauth.client-id',
      /who we are/,
    ],
  ])('refused of who knows tokens: %s', async (_, written, path, expected) => {
    const [problem, ...more] = await problemsIn(written, await directoryWithSecret())
    expect(more).toEqual([])
    expect(problem).toMatchObject({ path })
    expect(problem?.expected).toMatch(expected)
  })

  test('a secret of several lines is none, and one that everybody can read is warned of', async () => {
    const written = `${withAccounts}${oauth}client-id = "p"\nclient-secret-file = "oauth.secret"`
    const [problem] = await problemsIn(written, await directoryWithSecret('marker\nmarker\n'))
    expect(problem).toMatchObject({ expected: 'a file with a secret on one line' })
    expect(JSON.stringify(problem)).not.toContain('marker')
    expect(await read(written, await directoryWithSecret('x\n', 0o644))).toMatchObject({
      ok: true,
      warnings: [{ message: expect.stringContaining('chmod o-r') }],
    })
  })

  test('a service on this machine may be asked in the clear', async () => {
    const directory = await directoryWithSecret()
    for (const host of ['127.0.0.1:8080', 'localhost', '[::1]:8080']) {
      const written = withAccounts + oauth.replace('https://id.example.org', `http://${host}`)
      expect((await accepted(written, directory)).live.accounts.oauth?.introspectionUrl).toContain(host)
    }
  })

  test('who signs the certificates of clients is read where they are asked for one', async () => {
    const directory = await directoryWithCertificate()
    const asking = `${withTls}\nclient-ca = "mx.pem"\nclient-certificates = "request"\n[listener.users]\nprotocol = "imap"\nbind = "127.0.0.1:2144"\nclient-certificates = "require"\n[listener.plain]\nprotocol = "imap"\nbind = "127.0.0.1:2145"\ntls = "off"\n`
    const { live } = await accepted(asking, directory)
    expect(live.clientCa).toContain('BEGIN CERTIFICATE')
    expect(live.listeners.map(({ clientCertificates }) => clientCertificates)).toEqual(['request', 'require', 'off'])
    expect((await accepted(`${withTls}\nclient-ca = "mx.pem"`, directory)).live).not.toHaveProperty('clientCa')
  })

  test.each([
    ['no file', 'client-certificates = "request"', /none, but listener mx asks/],
    ['a file that is not there', 'client-certificates = "request"\nclient-ca = "ca.pem"', /ca\.pem/],
    ['a file without any', 'client-certificates = "request"\nclient-ca = "mx.key"', /which holds none/],
    ['one that is none', 'client-certificates = "request"\nclient-ca = "bad.pem"', /in which one cannot be read/],
  ])('refused for want of who signs them: %s', async (_, lines, found) => {
    const directory = await directoryWithCertificate()
    const block = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'
    await writeFile(join(directory, 'bad.pem'), block)
    const [problem, ...more] = await problemsIn(`${withTls}\n${lines}`, directory)
    expect(more).toEqual([])
    expect(problem).toMatchObject({ path: 'tls.client-ca' })
    expect(problem?.found).toMatch(found)
  })

  test('warned of: a server for everybody that asks everybody for a certificate', async () => {
    const directory = await directoryWithCertificate()
    const outcome = await read(`${withTls}\nclient-certificates = "require"\nclient-ca = "mx.pem"`, directory)
    expect(outcome).toMatchObject({
      ok: true,
      warnings: [{ path: 'listener.mx', message: expect.stringContaining('other mail servers') }],
    })
  })

  const day = 86_400_000
  test.each([
    ['an expired certificate', Date.now() - 3 * day, 0o600, /expired/],
    ['a certificate of tomorrow', Date.now() + day, 0o600, /not valid before/],
    ['a private key that everybody can read', Date.now() - 60_000, 0o644, /chmod o-r/],
  ])('warned of: %s', async (_, validFrom, mode, message) => {
    const directory = await directoryWithCertificate(validFrom)
    await chmod(join(directory, 'mx.key'), mode)
    const outcome = await read(withTls, directory)
    expect(outcome).toMatchObject({ ok: true, warnings: [{ line: 5, message: expect.stringMatching(message) }] })
  })

  test.each([
    ['a certificate that is none', 'mx.pem', 'nonsense', 'cert', /a certificate in PEM/, /holds none/],
    ['a key that is none', 'mx.key', 'nonsense', 'key', /a private key in PEM/, /holds none/],
    [
      'an encrypted key',
      'mx.key',
      '-----BEGIN ENCRYPTED PRIVATE KEY-----\nAA==\n-----END ENCRYPTED PRIVATE KEY-----\n',
      'key',
      /not encrypted/,
      /is encrypted/,
    ],
    ['the key of another certificate', 'mx.key', 'another', 'key', /the key of/, /another certificate/],
    ['bytes that are no text', 'mx.pem', Buffer.from([0xff, 0xfe, 0x00]), 'cert', /can be read/, /not UTF-8/],
  ])('refused: %s', async (_, file, content, key, expected, found) => {
    const directory = await directoryWithCertificate()
    const other = await makeSelfSignedCertificate({ hostname: 'other.example', notBefore: new Date(), validDays: 1 })
    await writeFile(join(directory, file), content === 'another' ? other.key : content)
    const [problem, ...more] = await problemsIn(withTls, directory)
    expect(more).toEqual([])
    expect(problem).toMatchObject({ line: 5, path: `tls.certificates[0].${key}` })
    expect(problem?.expected).toMatch(expected)
    expect(problem?.found).toMatch(found)
    expect(problem?.found).not.toContain('nonsense')
  })

  test('a directory, and a device that never ends, are no files', async () => {
    const directory = await temporaryDirectory()
    await mkdir(join(directory, 'mx.pem'))
    const problems = await problemsIn(withTls.replace('mx.key', '/dev/zero'), directory)
    expect(problems.map(({ found }) => found)).toEqual([
      `${join(directory, 'mx.pem')}: a directory`,
      '/dev/zero: not a regular file',
    ])
  })

  test('problems of the accounts file name that file and its lines', async () => {
    const directory = await temporaryDirectory()
    const accounts = '[[account]]\nname = "ann"\npassword = "hunter2"\n\n[[account]]\nname = "b c"\nshell = "/bin/sh"\n'
    await writeFile(join(directory, 'who.toml'), accounts, { mode: 0o600 })
    const problems = await problemsIn(`${least}[accounts]\nfile = "who.toml"`, directory)
    expect(problems.map(({ file, line, path }) => ({ file, line, path }))).toEqual([
      { file: join(directory, 'who.toml'), line: 3, path: 'account[0].password' },
      { file: join(directory, 'who.toml'), line: 5, path: 'account[1].password' },
      { file: join(directory, 'who.toml'), line: 6, path: 'account[1].name' },
      { file: join(directory, 'who.toml'), line: 7, path: 'account[1].shell' },
    ])
    expect(JSON.stringify(problems)).not.toContain('hunter2')
  })

  test('HD-05: an accounts file that other users can read is refused, with the mend', async () => {
    const directory = await temporaryDirectory()
    await writeFile(join(directory, 'who.toml'), '', { mode: 0o644 })
    const [problem] = await problemsIn(`${least}[accounts]\nfile = "who.toml"`, directory)
    expect(problem).toMatchObject({ file: 'postern.toml', line: 7, path: 'accounts.file' })
    expect(problem?.found).toContain(`chmod 600 ${join(directory, 'who.toml')}`)
  })
})

describe('the configuration file itself', () => {
  test('is read from disk, and relative names start where it is', async () => {
    const directory = await directoryWithCertificate()
    await writeFile(join(directory, 'postern.toml'), withTls)
    const outcome = await loadConfig(join(directory, 'postern.toml'))
    expect(outcome).toMatchObject({ ok: true, config: { start: { dataDir: join(directory, '.postern') } } })
  })

  test('OP-04: when it is missing, that is a problem with its name', async () => {
    const file = join(await temporaryDirectory(), 'postern.toml')
    expect(await loadConfig(file)).toEqual({
      ok: false,
      problems: [{ file, line: 0, path: '', expected: 'a configuration file that can be read', found: 'no such file' }],
    })
  })

  test('when it is enormous it is not read', async () => {
    const file = join(await temporaryDirectory(), 'postern.toml')
    await writeFile(file, Buffer.alloc(5_000_000, '#'))
    expect(await loadConfig(file)).toMatchObject({
      ok: false,
      problems: [{ found: expect.stringMatching(/too many/) }],
    })
  })
})
