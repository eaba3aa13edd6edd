import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { parseConfig } from '../../src/config/load.ts'
import type { Config, ConfigOutcome } from '../../src/config/schema.ts'
import { temporaryDirectory } from './temporary-directory.ts'

const listeners = `
[listener.mx]
protocol = "smtp"
bind = "127.0.0.1:2525"
tls = "off"
[listener.imap]
protocol = "imap"
bind = "127.0.0.1:2143"
tls = "off"
`

function read(text: string): Promise<ConfigOutcome> {
  return parseConfig(`${listeners}${text}`, { file: 'postern.toml', baseDir: import.meta.dirname })
}

async function live(text: string): Promise<Config['live']> {
  const outcome = await read(text)
  if (!outcome.ok) throw new Error(outcome.problems.map(({ path, found }) => `${path}: ${found}`).join('\n'))
  return outcome.config.live
}

async function problems(text: string): Promise<readonly string[]> {
  const outcome = await read(text)
  return outcome.ok
    ? []
    : outcome.problems.map(({ path, expected, found }) => `${path}: expected ${expected}, found ${found}`)
}

async function warnings(text: string): Promise<readonly string[]> {
  const outcome = await read(text)
  return outcome.ok ? outcome.warnings.map(({ path, message }) => `${path}: ${message}`) : ['not accepted']
}

const inside = `
[upstream.inside]
protocol = "smtp"
backends = ["10.0.0.1"]
`
const mailboxes = `
[upstream.mailboxes]
protocol = "imap"
backends = ["10.0.0.2"]
credentials-in-clear = true
`

function earlier(first: string, second: string): Promise<readonly string[]> {
  return problems(`${inside}${mailboxes}[[route]]\n${first}\n[[route]]\n${second}`)
}

describe('upstreams', () => {
  test('the least one is complete with defaults', async () => {
    const { upstreams } = await live(`${inside}[[route]]\nto = "inside"`)
    expect(upstreams).toEqual([
      {
        name: 'inside',
        protocol: 'smtp',
        backends: [{ address: { host: '10.0.0.1', port: 25 }, weight: 1, isBackup: false }],
        balance: 'round-robin',
        announce: 'received',
        isAnnouncementOptional: false,
        maxHeaderBytes: 536,
        passedTlvs: [],
        hasHeaderChecksum: false,
        tls: { mode: 'off' },
        maxConnections: 'unlimited',
        idle: { maxConnections: 8, timeMs: 5000 },
        sendsCredentialsInClear: false,
        slowStartMs: 0,
        timeouts: 'near',
        health: { isChecked: true, intervalMs: 5000, timeoutMs: 5000, rise: 2, fall: 3 },
      },
    ])
  })

  test('every key arrives where it belongs', async () => {
    const print = Array.from({ length: 32 }, () => 'AB').join(':')
    const { upstreams } = await live(`
[upstream.inside]
protocol = "lmtp"
backends = [{ address = "/run/lmtp", name = "Store-1" }, { address = "[2001:DB8::1]:2424", weight = 3, backup = true }, "Mail.example.org"]
balance = "hash-user"
announce = "proxy-v2"
max-header-bytes = "232B"
pass-tlvs = ["unique-id", "ssl"]
header-checksum = true
tls = "starttls"
tls-server-name = "Mail.example.org"
tls-fingerprints = ["${print}"]
max-connections = 50
credentials-in-clear = true
sign-in-mechanisms = ["PLAIN"]
slow-start = "30s"
timeouts = "rfc5321"
[upstream.inside.health]
check = false
interval = "1s"
timeout = "500ms"
rise = 1
fall = 5
[[route]]
recipients = ["example.org"]
to = "inside"`)
    expect(upstreams[0]).toEqual({
      name: 'inside',
      protocol: 'lmtp',
      backends: [
        { address: { path: '/run/lmtp' }, name: 'store-1', weight: 1, isBackup: false },
        { address: { host: '2001:db8::1', port: 2424 }, weight: 3, isBackup: true },
        { address: { host: 'mail.example.org', port: 24 }, weight: 1, isBackup: false },
      ],
      balance: 'hash-user',
      announce: 'proxy-v2',
      isAnnouncementOptional: false,
      maxHeaderBytes: 232,
      passedTlvs: ['unique-id', 'ssl'],
      hasHeaderChecksum: true,
      tls: { mode: 'starttls', serverName: 'mail.example.org', fingerprints: ['ab'.repeat(32)] },
      maxConnections: 50,
      sendsCredentialsInClear: true,
      signInMechanisms: ['PLAIN'],
      slowStartMs: 30_000,
      timeouts: 'rfc5321',
      health: { isChecked: false, intervalMs: 1000, timeoutMs: 500, rise: 1, fall: 5 },
    })
  })

  test.each([
    ['as said', 'idle-connections = 2\nidle-time = "30s"', { maxConnections: 2, timeMs: 30_000 }],
    ['with XFORWARD', 'announce = "xforward"', { maxConnections: 8, timeMs: 5000 }],
    ['not at all', 'idle-connections = "off"', undefined],
    ['none that announced a client', 'announce = "proxy-v2"', undefined],
  ])('connections are kept: %s', async (_, lines, idle) => {
    const { upstreams } = await live(`${inside}${lines}\n[[route]]\nto = "inside"`)
    expect(upstreams[0]?.idle).toEqual(idle)
  })

  test.each([
    ['smtp', 'off', 25],
    ['smtp', 'implicit', 465],
    ['lmtp', 'starttls', 24],
    ['imap', 'starttls', 143],
    ['imap', 'implicit', 993],
  ] as const)('%s with TLS %s: port %i, when none is given', async (protocol, tls, port) => {
    const text = `[upstream.inside]\nprotocol = "${protocol}"\nbackends = ["::1"]\ntls = "${tls}"\n[[route]]\nto = "inside"`
    const { upstreams } = await live(text.replace('"::1"', '"[::1]"'))
    expect(upstreams[0]?.backends[0]?.address).toEqual({ host: '::1', port })
  })

  test.each([
    ['no backend', 'backends = []', 'upstream.inside.backends: expected at least one backend'],
    ['an address that is none', 'backends = ["10.0.0.300"]', 'upstream.inside.backends[0]: expected a host and a port'],
    ['a port that is none', 'backends = ["10.0.0.1:70000"]', 'upstream.inside.backends[0]: expected a host and a port'],
    ['IPv6 without brackets', 'backends = ["::1:25"]', 'upstream.inside.backends[0]: expected a host and a port'],
    ['one twice', 'backends = ["10.0.0.1", "10.0.0.1:25"]', 'upstream.inside.backends[1]: expected each backend once'],
    [
      'a name twice',
      'backends = [{ address = "10.0.0.1", name = "One" }, { address = "10.0.0.2", name = "one" }]',
      'upstream.inside.backends[1].name: expected a name that no other backend has',
    ],
    [
      'connections kept that announced a client',
      'backends = ["10.0.0.1"]\nannounce = "xclient"\nidle-connections = 2',
      'upstream.inside.idle-connections: expected nothing, unless connections are kept',
    ],
    [
      'a time to keep none',
      'backends = ["10.0.0.1"]\nidle-connections = "off"\nidle-time = "1s"',
      'upstream.inside.idle-time: expected nothing, unless connections are kept',
    ],
    ['backups only', 'backends = [{ address = "10.0.0.1", backup = true }]', 'expected at least one that is no backup'],
    [
      'a weight of zero',
      'backends = [{ address = "10.0.0.1", weight = 0 }]',
      'backends[0].weight: expected a whole number',
    ],
    ['IMAP’s way with SMTP', 'backends = ["a"]\nannounce = "imap-id"', 'announce: expected a way that smtp has'],
    [
      'TLVs without a header for them',
      'backends = ["a"]\npass-tlvs = ["ssl"]',
      'pass-tlvs: expected nothing, unless announce',
    ],
    ['a CA without TLS', 'backends = ["a"]\ntls-ca = "ca.pem"', 'tls-ca: expected nothing, unless TLS is spoken'],
    [
      'a CA that nobody asks',
      'backends = ["a"]\ntls = "optional"\ntls-ca = "a"',
      'tls-ca: expected tls = "starttls" or',
    ],
    [
      'a CA that is not there',
      'backends = ["a"]\ntls = "starttls"\ntls-ca = "none.pem"',
      'tls-ca: expected a file that can be read',
    ],
    ['a key without its certificate', 'backends = ["a"]\ntls = "starttls"\ntls-key = "k"', 'tls-cert: expected both'],
    [
      'a fingerprint that is none',
      'backends = ["a"]\ntls = "starttls"\ntls-fingerprints = ["ab"]',
      'a SHA-256 fingerprint',
    ],
    ['an unknown key', 'backends = ["a"]\nannounced = "none"', 'upstream.inside.announced: expected a key that'],
  ])('a problem: %s', async (_, lines, problem) => {
    const found = await problems(`[upstream.inside]\nprotocol = "smtp"\n${lines}\n[[route]]\nto = "inside"`)
    expect(found).toEqual([expect.stringContaining(problem)])
  })

  test('names that mean something else are taken', async () => {
    expect(await problems(inside.replace('inside', 'store'))).toEqual([
      expect.stringContaining('not "store" or "refuse"'),
    ])
  })

  test('an upstream to which no route leads is told', async () => {
    expect(await warnings(inside)).toContain('upstream.inside: no route leads to this upstream')
  })
})

describe('routes', () => {
  test('names are compared in lower case and ASCII', async () => {
    const { routes } = await live(`${inside}[[route]]
recipients = ["Ann@Bücher.example", ".BÜCHER.example", "example.ORG"]
users = ["Ann", "@Example.org"]
server-names = ["MX.example.org"]
authorities = [".Example.org"]
clients = ["10.0.0.0/8"]
listeners = ["mx"]
to = "inside"`)
    expect(routes).toEqual([
      {
        recipients: ['ann@xn--bcher-kva.example', '@.xn--bcher-kva.example', '@example.org'],
        users: ['ann', '@example.org'],
        serverNames: ['mx.example.org'],
        authorities: ['.example.org'],
        clients: ['10.0.0.0/8'],
        listeners: ['mx'],
        to: { kind: 'upstream', upstream: 'inside' },
      },
    ])
  })

  test.each([
    ['an upstream that is not there', '[[route]]\nto = "outside"', 'route[0].to: expected "store", "refuse", or an'],
    [
      'a listener that is not there',
      '[[route]]\nlisteners = ["pop"]\nto = "store"',
      'route[0].listeners[0]: expected a listener',
    ],
    [
      'recipients of an IMAP upstream',
      '[[route]]\nrecipients = ["a.example"]\nto = "mailboxes"',
      'an IMAP upstream takes no mail',
    ],
    ['an empty condition', '[[route]]\nrecipients = []\nto = "store"', 'route[0].recipients: expected a list'],
    [
      'a pattern that is none',
      '[[route]]\nrecipients = ["*"]\nto = "store"',
      'route[0].recipients[0]: expected an address',
    ],
  ])('a problem: %s', async (_, text, problem) => {
    const found = await problems(`${inside}${mailboxes}${text}`)
    expect(found).toEqual([expect.stringContaining(problem)])
  })

  test.each([
    ['the same again', 'recipients = ["a.example"]\nto = "store"', 'recipients = ["a.example"]\nto = "inside"'],
    [
      'an address of a domain',
      'recipients = ["a.example"]\nto = "store"',
      'recipients = ["ann@a.example"]\nto = "inside"',
    ],
    [
      'below a domain',
      'recipients = [".example"]\nto = "store"',
      'recipients = ["ann@a.example", ".b.example"]\nto = "inside"',
    ],
    ['behind everything', 'to = "store"', 'recipients = ["a.example"]\nto = "inside"'],
    [
      'a network within',
      'clients = ["10.0.0.0/8"]\nto = "refuse"',
      'clients = ["10.1.0.0/16", "10.2.3.4"]\nto = "inside"',
    ],
    ['more conditions', 'listeners = ["mx"]\nto = "refuse"', 'listeners = ["mx"]\nusers = ["ann"]\nto = "inside"'],
    ['users of a domain', 'users = ["@a.example"]\nto = "inside"', 'users = ["ann@a.example"]\nto = "inside"'],
  ])('cannot be reached: %s', async (_, first, second) => {
    expect(await earlier(first, second)).toEqual([expect.stringContaining('one behind route[0], which takes all')])
  })

  test.each([
    [
      'a domain behind its address',
      'recipients = ["ann@a.example"]\nto = "store"',
      'recipients = ["a.example"]\nto = "inside"',
    ],
    [
      'a domain behind those below it',
      'recipients = [".example"]\nto = "store"',
      'recipients = ["example"]\nto = "inside"',
    ],
    ['logins behind mail', 'to = "inside"', 'to = "mailboxes"'],
    ['mail from strangers behind that of users', 'to = "inside"', 'recipients = ["a.example"]\nto = "inside"'],
    ['a wider network', 'clients = ["10.1.0.0/16"]\nto = "refuse"', 'clients = ["10.0.0.0/8"]\nto = "inside"'],
    ['another condition', 'users = ["ann"]\nto = "inside"', 'listeners = ["mx"]\nto = "inside"'],
    [
      'a user who is named like a domain',
      'users = ["example"]\nto = "inside"',
      'users = ["ann@example"]\nto = "inside"',
    ],
  ])('can be reached: %s', async (_, first, second) => {
    expect(await earlier(first, second)).toEqual([])
  })

  test('everybody as a relay network is warned of', async () => {
    const text = `[smtp]\nrelay-networks = ["0.0.0.0/0"]`
    expect(await warnings(text)).toContainEqual(expect.stringContaining('lets everybody relay to everybody'))
  })
})

describe('backends that judge who signs in', () => {
  const users = `[listener.users]\nprotocol = "submission"\nbind = "127.0.0.1:2587"\ntls = "off"\nsign-in = "upstream"\n`
  const secured = `[upstream.inside]\nprotocol = "smtp"\nbackends = ["10.0.0.1"]\ntls = "starttls"\n`

  test('are asked over TLS, or where that is allowed', async () => {
    const { listeners: found } = await live(`${users}${secured}[[route]]\nto = "inside"`)
    expect(found.find(({ name }) => name === 'users')?.signIn).toBe('upstream')
    const closed = secured.replace('tls = "starttls"', 'credentials-in-clear = true')
    expect(await problems(`${users}${closed}[[route]]\nto = "inside"`)).toEqual([])
  })

  test.each([
    ['nobody to ask', users, 'listener.users.sign-in: expected an SMTP upstream that can be asked'],
    [
      'a route for recipients only',
      `${users}${secured}[[route]]\nrecipients = ["a.example"]\nto = "inside"`,
      'listener.users.sign-in: expected an SMTP upstream',
    ],
    [
      'a password in the clear',
      `${users}${secured.replace('starttls', 'optional')}[[route]]\nto = "inside"`,
      'upstream.inside.tls: expected "starttls" or "implicit", or credentials-in-clear = true',
    ],
    [
      'another protocol',
      `${users.replace('submission', 'lmtp')}${secured}[[route]]\nto = "inside"`,
      'listener.users.sign-in: expected "accounts"',
    ],
  ])('a problem: %s', async (_, text, problem) => {
    expect(await problems(text)).toEqual([expect.stringContaining(problem)])
  })
})

describe('IMAP upstreams', () => {
  const master = `[upstream.boxes]\nprotocol = "imap"\nbackends = ["10.0.0.2"]\ntls = "starttls"\n`
  const withMaster = `${master}master-user = "postern"\nmaster-password-file = "upstreams.test.ts"\n`
  const leads = '[[route]]\nto = "boxes"'

  async function withPassword(): Promise<string> {
    const file = join(await temporaryDirectory(), 'master')
    await writeFile(file, 'm4ster\n', { mode: 0o600 })
    return master + `master-user = "postern"\nmaster-password-file = "${file}"\n`
  }

  test('a master signs in for users who are judged here', async () => {
    const { upstreams } = await live(`${await withPassword()}${leads}`)
    expect(upstreams[0]).toMatchObject({
      master: { username: 'postern', password: 'm4ster' },
    })
  })

  test('and never where the backend is the judge: everybody would be let in', async () => {
    const judged = '[listener.users]\nprotocol = "imap"\nbind = "127.0.0.1:2144"\ntls = "off"\nsign-in = "upstream"\n'
    expect(await problems(`${judged}${await withPassword()}${leads}`)).toEqual([
      expect.stringContaining('upstream.boxes.master-user: expected nothing, since it would let in everybody'),
    ])
    expect(await problems(`${judged}${master}${leads}`)).toEqual([])
    expect(await problems(`${judged}${master}[[route]]\nlisteners = ["mx"]\nto = "boxes"`)).toEqual([
      expect.stringContaining('listener.users.sign-in: expected an IMAP upstream that can be asked'),
    ])
  })

  test('a directory may lead to any of them', async () => {
    const asked = `${master.replace('starttls', 'off')}[lookup.users]\nurl = "http://127.0.0.1:1/"\n[[route]]\nask = "users"`
    expect(await problems(asked)).toEqual([expect.stringContaining('upstream.boxes.tls: expected "starttls"')])
  })

  test.each([
    [
      'half a master',
      `${master}master-user = "postern"\n${leads}`,
      'upstream.boxes.master-password-file: expected both',
    ],
    ['no password', `${withMaster}${leads}`, 'upstream.boxes.master-password-file: expected a file with a secret'],
    [
      'of SMTP',
      `${master.replace('imap', 'smtp')}master-user = "postern"\n${leads}`,
      'upstream.boxes.master-user: expected nothing, unless protocol = "imap"',
    ],
    [
      'credentials in the clear, whoever is the judge',
      `${master.replace('starttls', 'optional')}${leads}`,
      'upstream.boxes.tls: expected "starttls" or "implicit", or credentials-in-clear = true, since listener imap',
    ],
  ])('a problem: %s', async (_, text, problem) => {
    expect(await problems(text)).toContainEqual(expect.stringContaining(problem))
  })
})

function directory(lines: string): string {
  return `[lookup.directory]\n${lines}\n${inside}[[route]]\nask = "directory"\nto = "inside"`
}

async function targetOf(lines: string): Promise<unknown> {
  const { routes } = await live(directory(lines))
  return routes[0]?.to
}

describe('directories', () => {
  test('are complete with defaults', async () => {
    const { lookups, routes } = await live(directory('url = "http://127.0.0.1:9000/auth"'))
    expect(lookups).toEqual([
      {
        name: 'directory',
        url: 'http://127.0.0.1:9000/auth',
        dialect: 'nginx',
        prefix: 'postern:route:',
        timeoutMs: 2000,
        retries: 1,
        cacheMs: 0,
        cacheEntries: 10_000,
        whenDown: 'defer',
      },
    ])
    expect(routes[0]?.to).toEqual({ kind: 'lookup', lookup: 'directory', upstream: 'inside', namesRecipients: false })
  })

  test('TR-03: Redis names recipients by its keys; HTTP where that is said', async () => {
    expect(await targetOf('url = "rediss://10.0.0.9/1"')).toMatchObject({ namesRecipients: true })
    expect(await targetOf('url = "https://a.example"\nnames-recipients = true')).toMatchObject({
      namesRecipients: true,
    })
  })

  test.each([
    ['a URL of another kind', 'url = "ldap://10.0.0.9"', 'lookup.directory.url: expected a URL'],
    ['a URL that is none', 'url = "http://[::"', 'lookup.directory.url: expected a URL, found one that cannot be read'],
    ['no time', 'url = "http://a"\ntimeout = "0s"', 'lookup.directory.timeout: expected a duration'],
  ])('a problem: %s', async (_, lines, problem) => {
    expect(await problems(directory(lines))).toContainEqual(expect.stringContaining(problem))
  })

  test('a password in a URL is not shown', async () => {
    const found = await problems(directory('url = "ldap://user:hunter2@10.0.0.9"'))
    expect(found.join('')).not.toContain('hunter2')
  })

  test.each([
    ['a lookup that is not there', '[[route]]\nask = "nobody"', 'route[0].ask: expected a [lookup.NAME]'],
    ['neither', '[[route]]\nlisteners = ["mx"]', 'route[0].to: expected "store", "refuse"'],
    [
      'a target beside it that is no upstream',
      '[lookup.d]\nurl = "http://a"\n[[route]]\nask = "d"\nto = "store"',
      'route[0].to: expected an upstream, beside `ask`',
    ],
  ])('a problem: %s', async (_, text, problem) => {
    expect(await problems(`${inside}${text}`)).toContainEqual(expect.stringContaining(problem))
  })

  test('what stands behind one can be reached', async () => {
    const text = `[lookup.d]\nurl = "http://a"\n${inside}[[route]]\nask = "d"\n[[route]]\nto = "inside"`
    expect(await problems(text)).toEqual([])
  })
})
