import { describe, expect, test } from 'vitest'
import { parseConfig } from '../../src/config/load.ts'
import { leadsTo } from '../../src/config/refuse-loops.ts'
import { parseBackendAddress, type BackendAddress } from '../../src/config/backend-address.ts'
import { parseBindAddress } from '../../src/config/bind-address.ts'
import type { BindAddress } from '../../src/config/schema.ts'

const listeners = `
[listener.mx]
protocol = "smtp"
bind = "127.0.0.1:2525"
tls = "off"
[listener.users]
protocol = "submission"
bind = "127.0.0.1:2587"
tls = "off"
[listener.inner]
protocol = "lmtp"
bind = "127.0.0.1:2424"
tls = "off"
[listener.imap]
protocol = "imap"
bind = "127.0.0.1:2143"
tls = "off"
[listener.imap-inner]
protocol = "imap"
bind = "127.0.0.1:2144"
tls = "off"
`

function upstream(name: string, protocol: string, ...backends: readonly string[]): string {
  const clear = protocol === 'imap' ? '\ncredentials-in-clear = true' : ''
  return `[upstream.${name}]\nprotocol = "${protocol}"\nbackends = ${JSON.stringify(backends)}${clear}\n`
}

const upstreams = [
  upstream('to-mx', 'smtp', '127.0.0.1:2525'),
  upstream('several', 'smtp', '192.0.2.1:25', '127.0.0.1:2525'),
  upstream('to-inner', 'lmtp', '127.0.0.1:2424'),
  upstream('to-imap', 'imap', '127.0.0.1:2143'),
  upstream('to-imap-inner', 'imap', '127.0.0.1:2144'),
  upstream('away', 'smtp', '192.0.2.1:25'),
].join('')

const lookup = '[lookup.people]\nurl = "http://127.0.0.1:9/"\n'

/** In the order of the file, each by its conditions and where it leads. */
function routes(...tables: readonly string[]): string {
  return tables.map((table) => `[[route]]\n${table.replaceAll('; ', '\n')}\n`).join('')
}

async function problemsOf(text: string): Promise<readonly string[]> {
  const outcome = await parseConfig(text, { file: 'postern.toml', baseDir: import.meta.dirname })
  return outcome.ok ? [] : outcome.problems.map(({ line, path, found }) => `${line} ${path}: ${found}`)
}

async function loops(...tables: readonly string[]): Promise<readonly string[]> {
  return (await problemsOf(`${listeners}${upstreams}${lookup}${routes(...tables)}`)).map((text) =>
    text.replace(/^\d+ /, ''),
  )
}

const relays = '[smtp]\nrelay-networks = ["127.0.0.0/8"]\n'

describe('TR-11: a route to a listener of our own', () => {
  test('is told with its line, what was expected and the whole way, together with what else is wrong', async () => {
    const text = `${listeners}${upstreams}${routes('recipients = ["a.example"]; to = "to-mx"', 'to = "nowhere"')}`
    const outcome = await parseConfig(text, { file: 'postern.toml', baseDir: import.meta.dirname })
    expect(outcome).toEqual({
      ok: false,
      problems: [
        {
          file: 'postern.toml',
          line: text.split('\n').indexOf('to = "to-mx"') + 1,
          path: 'route[0].to',
          expected: 'an upstream from which nothing comes back to where it came from',
          found: '"to-mx", and so a loop: listener mx, route[0], upstream to-mx (127.0.0.1:2525), listener mx',
        },
        expect.objectContaining({ path: 'route[1].to' }),
      ],
    })
  })

  test.each([
    ['from itself', ['recipients = ["a.example"]; to = "to-mx"'], ['route[0].to: "to-mx"']],
    ['one backend of several', ['recipients = ["a.example"]; to = "several"'], ['route[0].to: "several"']],
    [
      'over another one',
      [
        'listeners = ["mx"]; recipients = ["a.example"]; to = "to-inner"',
        'listeners = ["inner"]; recipients = [".example"]; to = "to-mx"',
      ],
      ['listener mx, route[0], upstream to-inner (127.0.0.1:2424), listener inner, route[1], upstream to-mx'],
    ],
    [
      'by an address within a domain',
      [
        'listeners = ["mx"]; recipients = ["a.example"]; to = "to-inner"',
        'listeners = ["inner"]; recipients = ["ann@a.example"]; to = "to-mx"',
      ],
      ['listener inner, route[1]'],
    ],
    [
      'two of them',
      ['recipients = ["a.example"]; to = "to-mx"', 'recipients = ["b.example"]; to = "to-inner"'],
      ['route[0].to: "to-mx"', 'route[1].to: "to-inner"'],
    ],
    [
      'behind one that may not hold',
      [
        'recipients = ["a.example"]; clients = ["10.0.0.0/8"]; to = "store"',
        'recipients = ["a.example"]; to = "to-mx"',
      ],
      ['route[1].to: "to-mx"'],
    ],
    [
      'for mail of others than one user',
      ['users = ["ann"]; clients = ["127.0.0.1"]; to = "store"', 'recipients = ["a.example"]; to = "to-mx"'],
      ['route[1].to: "to-mx"'],
    ],
    [
      'behind a directory that is not asked about what comes from us',
      ['ask = "people"; clients = ["10.0.0.0/8"]', 'recipients = ["a.example"]; to = "to-mx"'],
      ['route[1].to: "to-mx"'],
    ],
    [
      'behind a directory that knows no recipients, for a stranger',
      ['ask = "people"; to = "away"', 'recipients = ["a.example"]; to = "to-mx"'],
      ['route[1].to: "to-mx"'],
    ],
    [
      'for every login',
      ['to = "to-imap"'],
      ['listener imap, route[0], upstream to-imap (127.0.0.1:2143), listener imap'],
    ],
    [
      'for one user',
      [
        'listeners = ["imap"]; users = ["@a.example"]; to = "to-imap-inner"',
        'listeners = ["imap-inner"]; users = ["ann@a.example"]; to = "to-imap"',
      ],
      ['listener imap-inner, route[1]'],
    ],
  ])('a loop: %s', async (_, tables, expected) => {
    expect(await loops(...tables)).toEqual(expected.map((each) => expect.stringContaining(each)))
  })

  test.each([
    [
      'into the store behind it',
      ['listeners = ["inner"]; to = "store"', 'recipients = ["a.example"]; to = "to-inner"'],
    ],
    ['for one listener only', ['listeners = ["mx"]; recipients = ["a.example"]; to = "to-inner"']],
    [
      'through two, and out',
      [
        'listeners = ["inner"]; recipients = ["a.example"]; to = "away"',
        'listeners = ["mx"]; recipients = ["a.example"]; to = "to-inner"',
      ],
    ],
    [
      'there and back for different recipients',
      [
        'listeners = ["mx"]; recipients = ["a.example"]; to = "to-inner"',
        'listeners = ["inner"]; recipients = ["b.example"]; to = "to-mx"',
      ],
    ],
    [
      'an address of the domain is taken before',
      [
        'listeners = ["inner"]; recipients = [".example"]; to = "refuse"',
        'recipients = ["ann@a.example"]; to = "to-inner"',
      ],
    ],
    ['under a condition', ['recipients = ["a.example"]; clients = ["10.0.0.0/8"]; to = "to-mx"']],
    [
      'out, for what comes from us',
      [
        'recipients = ["a.example"]; clients = ["127.0.0.0/8"]; to = "store"',
        'recipients = ["a.example"]; to = "to-inner"',
      ],
    ],
    [
      'out, for who asks for a name',
      ['server-names = ["mx.a.example"]; to = "store"', 'recipients = ["a.example"]; to = "to-inner"'],
    ],
    [
      'a directory is asked before',
      [
        'listeners = ["inner"]; recipients = ["a.example"]; ask = "people"',
        'recipients = ["a.example"]; to = "to-inner"',
      ],
    ],
    [
      'a directory is asked about each login before',
      ['ask = "people"', 'users = ["@a.example"]; to = "to-imap-inner"'],
    ],
    ['where users of one listener send', ['to = "to-mx"']],
    [
      'logins that end in the store',
      ['listeners = ["imap-inner"]; to = "store"', 'users = ["@a.example"]; to = "to-imap-inner"'],
    ],
    ['a directory that may say so', ['ask = "people"; to = "to-mx"']],
    ['another protocol', ['recipients = ["a.example"]; to = "wrong"']],
  ])('a way that ends, or of which nobody can say: %s', async (_, tables) => {
    const more = `${upstream('wrong', 'smtp', '127.0.0.1:2424', '127.0.0.1:2143')}${lookup}`
    expect(await problemsOf(`${listeners}${upstreams}${more}${routes(...tables)}`)).toEqual([])
  })

  test('mail to anybody goes round where our own connections may relay', async () => {
    const text = `${listeners}${upstreams}${routes('to = "to-mx"')}`
    const told = [expect.stringContaining('route[0].to: "to-mx", and so a loop')]
    expect(await problemsOf(text)).toEqual([])
    expect(await problemsOf(`${relays}${text}`)).toEqual(told)
    expect(await problemsOf(`[smtp]\nxclient-networks = ["127.0.0.1"]\n${text}`)).toEqual(told)
    const judged = listeners.replace('"submission"', '"submission"\nsign-in = "upstream"')
    const judge = `${upstream('to-users', 'smtp', '127.0.0.1:2587')}credentials-in-clear = true\n`
    expect(await problemsOf(`${judged}${judge}${routes('to = "to-users"')}`)).toEqual([
      expect.stringContaining('listener users, route[0], upstream to-users (127.0.0.1:2587), listener users'),
    ])
  })

  test('a route whose condition is wrong ends what comes to it: the mistake is told, and no loop that it might stop', async () => {
    expect(
      await loops(
        'recipients = ["a.example"]; listeners = ["nobody"]; to = "store"',
        'recipients = ["a.example"]; to = "to-inner"',
      ),
    ).toEqual([expect.stringContaining('route[0].listeners[0]')])
  })

  test('ten thousand recipients are followed at once', async () => {
    const many = Array.from({ length: 10_000 }, (_, index) => `d${index}.example`)
    const text = `${listeners}${upstreams}${routes(`listeners = ["mx"]; recipients = ${JSON.stringify(many)}; to = "to-inner"`, `listeners = ["inner"]; recipients = ["d9999.example"]; to = "to-mx"`)}`
    expect(await problemsOf(text)).toEqual([expect.stringContaining('route[1].to')])
  })
})

const address = (text: string): BackendAddress => ({ port: 25, ...parseBackendAddress(text) }) as BackendAddress
const bind = (text: string): BindAddress => ({ port: 25, ...parseBindAddress(text)! })

describe('where a backend is a listener', () => {
  const own = new Set(['192.0.2.1', '2001:db8::1'])

  test.each<[string, boolean, string, ...(readonly string[])]>([
    ['127.0.0.1', true, '127.0.0.1'],
    ['127.0.0.1', false, '127.0.0.1:26'],
    ['127.0.0.1', false, '127.0.0.2'],
    ['[::ffff:127.0.0.1]', true, '127.0.0.1'],
    ['127.0.0.1', true, '[::ffff:127.0.0.1]'],
    ['127.0.0.53', true, '0.0.0.0'],
    ['192.0.2.1', true, '0.0.0.0'],
    ['192.0.2.2', false, '0.0.0.0'],
    ['192.0.2.2', true, '192.0.2.2'],
    ['[::1]', false, '0.0.0.0'],
    ['[::1]', true, '[::]'],
    ['[2001:db8::1]', true, '[::]'],
    ['[2001:db8::2]', false, '[::]'],
    ['127.0.0.1', true, '[::]'],
    ['127.0.0.1', false, '[::]', '0.0.0.0'],
    ['192.0.2.1', true, '[::]', '0.0.0.0:26'],
    ['0.0.0.0', true, '127.0.0.1'],
    ['[::]', true, '[::1]'],
    ['localhost', true, '127.0.0.1'],
    ['LOCALHOST.', true, '[::1]'],
    ['mx.localhost', true, '0.0.0.0'],
    ['notlocalhost', false, '0.0.0.0'],
    ['mx.example.org', false, '0.0.0.0'],
    ['/run/lmtp', false, '0.0.0.0'],
    ['127.0.0.1', false, '0.0.0.0:0'],
  ])('%s: %s, at %s', (backend, expected, at, ...beside) => {
    const binds = [at, ...beside].map(bind)
    expect(leadsTo(address(backend), bind(at), { binds, own })).toBe(expected)
  })
})
