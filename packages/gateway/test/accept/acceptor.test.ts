import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { encodeProxyHeader, endpoint, sslTlv, type ClientNames, type IpAddress, type Policy } from '@postern/core'
import { describe, expect, test } from 'vitest'
import { AwaitedHeaders, Places } from '../../src/accept/admission.ts'
import type { Dialect } from '../../src/accept/dialects.ts'
import { OpenConnections } from '../../src/accept/open-connections.ts'
import { accessList } from '../../src/policy/access-list.ts'
import { networks } from '../../src/policy/networks.ts'
import type { Counts } from '../../src/observe/counts.ts'
import type { MetricName } from '../../src/observe/metric-catalogue.ts'
import { clientKey } from '../../src/policy/client-key.ts'
import { connectionLimits } from '../../src/policy/client-limits.ts'
import { LocalTally } from '../../src/policy/tally.ts'
import { Client, echoDialect, openBench, v1, v2, v2Local, type LogLine } from '../kit/acceptor-bench.ts'

const eventsOf = (lines: readonly LogLine[]): readonly string[] => lines.map((line) => line.event)
const find = (lines: readonly LogLine[], event: string): LogLine | undefined =>
  lines.find((line) => line.event === event)

/** Of a client that a policy refuses. */
const refusedLines = ['proxy.accepted', 'policy.refused', 'connection.close']

/** Refuses everybody, and notes whom. */
const refusing = (seen: string[]): Policy => ({
  name: 'test',
  onConnect: ({ identity }) => {
    seen.push(identity.client.address.toString())
    return { verdict: 'defer', reason: 'rate' }
  },
})

/** Keeps whom it was asked about, and answers nothing in this life. */
const asked = () => {
  const addresses: string[] = []
  return {
    addresses,
    namesOf: (address: IpAddress): Promise<ClientNames> => {
      addresses.push(address.toString())
      return Promise.withResolvers<ClientNames>().promise
    },
  }
}

describe('PX-35: what a balancer says of the TLS that it ended', () => {
  test.each([
    ['counts from every trusted network when no list is there', undefined, 'TLSv1.3 proxy', undefined],
    ['counts from a network of the list', ['127.0.0.0/30'], 'TLSv1.3 proxy', undefined],
    ['does not from another trusted network, and the log says so', ['127.0.0.2'], 'cleartext', false],
    ['does from nobody when the list is empty', [], 'cleartext', false],
  ])('%s', async (_, tlsNetworks, expected, tlsBelieved) => {
    const seen: string[] = []
    const dialect: Dialect = {
      ...echoDialect,
      session: (context, log, opening) => {
        const { security } = context.connection
        seen.push(security.kind === 'tls' ? `${security.version} ${security.endedBy}` : security.kind)
        return echoDialect.session(context, log, opening)
      },
    }
    await using bench = await openBench({ dialect, proxy: { mode: 'require', ...(tlsNetworks && { tlsNetworks }) } })
    using client = new Client(bench.port)
    const tls = sslTlv({ certificate: 'none', isVerified: false, version: 'TLSv1.3' })
    const [source, destination] = [endpoint('203.0.113.7', 4567), endpoint('192.0.2.1', 25)]
    const header = encodeProxyHeader({ version: 2, command: 'proxy', source, destination, tlvs: [tls] })
    client.say(header.ok ? header.bytes : '')
    // Whose addresses it is told is another matter: those are believed.
    expect(await client.hears(/\r\n/)).toMatch(/^HELLO 203\.0\.113\.7:4567 proxied/)
    expect(seen).toEqual([expected])
    const line = await bench.logged('proxy.accepted')
    expect([line['tls'], line['tlsBelieved']]).toEqual(['TLSv1.3', tlsBelieved])
    const counted = bench.counts.sumOf('postern_tls_sessions_total', ([, , endedBy]) => endedBy === 'proxy')
    expect(counted).toBe(expected === 'cleartext' ? 0 : 1)
  })
})

describe('S10: the names of a client', () => {
  test('are looked up from the accept on, of the client and not of its balancer; no greeting waits', async () => {
    const names = asked()
    await using bench = await openBench({ names })
    using client = new Client(bench.port)
    client.say(v1('203.0.113.7'))
    expect(await client.hears(/\r\n/)).toMatch(/^HELLO 203\.0\.113\.7/)
    expect(names.addresses).toEqual(['203.0.113.7'])
  })

  test('S9: ignored hosts, checks, and clients that are refused cause no lookup', async () => {
    const names = asked()
    const policies = [accessList(networks(['203.0.113.0/24']), undefined)]
    await using bench = await openBench({ names, policies, ignoredHosts: ['10.0.0.0/24'] })
    for (const header of [v1('10.0.0.9'), v1('203.0.113.9'), v2Local]) {
      using client = new Client(bench.port)
      client.say(header).say('QUIT\r\n')
      await client.ends()
    }
    expect(names.addresses).toEqual([])
  })
})

describe('trust decides, before a byte is read', () => {
  test('H3: a trusted peer gets no greeting until its header came', async () => {
    await using bench = await openBench()
    using client = new Client(bench.port)
    client.say('PROXY TCP4 203.0.113.7 ')
    await delay(50)
    expect(client.received).toBe('')
    client.say('192.0.2.1 45678 25\r\n')
    expect(await client.hears(/\r\n/)).toMatch(/^HELLO 203\.0\.113\.7:45678 proxied [0-9a-v]{16}\r\n$/)
  })

  test('J11: the same port greets a direct client at once, who must not send a header', async () => {
    await using bench = await openBench()
    using client = new Client(bench.port, '127.0.0.7')
    expect(await client.hears(/\r\n/)).toMatch(/^HELLO 127\.0\.0\.7:\d+ direct /)
    client.say(v1('203.0.113.7')).say('QUIT\r\n')
    expect(await client.ends()).toContain('ECHO PROXY TCP4 203.0.113.7')
    await bench.idle()
    expect(find(bench.lines, 'connection.open')).toMatchObject({ client: '127.0.0.7', via: 'socket', listener: 'mx' })
    expect(JSON.stringify(bench.lines)).not.toContain('203.0.113.7')
  })

  test('W5: a listener that requires a header serves nobody but its trusted networks', async () => {
    await using bench = await openBench({ proxy: { mode: 'require' } })
    using client = new Client(bench.port, '127.0.0.7')
    client.say(v1('203.0.113.7'))
    expect(await client.ends()).toBe('REFUSED not-trusted\r\n')
    await bench.idle()
    const [line, ...others] = bench.lines
    expect(others).toEqual([])
    expect(line).toMatchObject({ event: 'proxy.refused', reason: 'not-trusted', client: '127.0.0.7', listener: 'mx' })
    expect(line?.['msg']).toBe(
      '127.0.0.7 is in no trusted network of listener mx, which serves nobody else (proxy.mode = "require"): ' +
        'if it is your balancer, add 127.0.0.7 to trusted-networks',
    )
  })

  test('an optional header may come, or not: then the greeting waits only its moment', async () => {
    await using patient = await openBench({ proxy: { mode: 'optional', optionalWaitMs: 5_000 } })
    using proxied = new Client(patient.port)
    proxied.say(v2('203.0.113.7'))
    expect(await proxied.hears(/\r\n/)).toContain('HELLO 203.0.113.7:45678 proxied')
    await using bench = await openBench({ proxy: { mode: 'optional' } })
    using silent = new Client(bench.port)
    expect(await silent.hears(/\r\n/)).toMatch(/^HELLO 127\.0\.0\.1:\d+ direct /)
  })
})

describe('the header', () => {
  test('J8: header and first command in one segment: the greeting, then the answer', async () => {
    await using bench = await openBench()
    using client = new Client(bench.port)
    client.say(`${v1('203.0.113.7')}NOOP\r\nQUIT\r\n`)
    expect((await client.ends()).split('\r\n').slice(1)).toEqual(['ECHO NOOP', 'BYE', ''])
  })

  test('J10: a trusted peer without a header is told so, closed, and logged with the mend', async () => {
    await using bench = await openBench()
    using client = new Client(bench.port)
    client.say('EHLO client.example\r\n')
    expect(await client.ends()).toBe('REFUSED proxy-missing\r\n')
    await bench.idle()
    const line = find(bench.lines, 'proxy.refused')
    expect(line).toMatchObject({ reason: 'proxy-missing', proxy: '127.0.0.1', listener: 'mx' })
    expect(line).not.toHaveProperty('client')
    expect(line?.['firstBytes']).toBe(String.raw`EHLO client.example\x0d\x0a`)
    expect(line?.['msg']).toContain('switch its proxy protocol on (send-proxy)')
  })

  test('S18, H4: a trusted peer that sends nothing is closed after the header timeout, with a reply and a log line', async () => {
    await using bench = await openBench({ proxy: { headerTimeoutMs: 120 } })
    using client = new Client(bench.port)
    expect(await client.ends()).toBe('REFUSED proxy-timeout\r\n')
    await bench.idle()
    expect(find(bench.lines, 'proxy.refused')).toMatchObject({
      reason: 'proxy-timeout',
      proxy: '127.0.0.1',
      msg: 'trusted peer 127.0.0.1 sent nothing for 0.12 s: server-speaks-first and a balancer that holds the header back?',
    })
  })

  test('PX-04: a byte now and then does not extend the header timeout', async () => {
    await using bench = await openBench({ proxy: { headerTimeoutMs: 200 } })
    using client = new Client(bench.port)
    // If each moved it, there would be bytes until the header is longer than a header may be, and none of v1.
    const drip = setInterval(() => client.say('P'), 60)
    client.say('PROXY UNKNOWN ')
    await client.ends()
    clearInterval(drip)
    await bench.idle()
    expect(find(bench.lines, 'proxy.refused')).toMatchObject({ reason: 'proxy-timeout' })
  })

  test('S12: malformed first bytes are refused with a reply, a code and an offset', async () => {
    await using bench = await openBench()
    using client = new Client(bench.port)
    client.say('PROXY TCP4 203.0.113.7 192.0.2.1 99999 25\r\n')
    expect(await client.ends()).toBe('REFUSED proxy-malformed\r\n')
    await bench.idle()
    expect(find(bench.lines, 'proxy.refused')).toMatchObject({ reason: 'proxy-malformed', code: 'PROXY_PORT' })
  })

  test('S20: a second header right behind the first is refused and logged', async () => {
    await using bench = await openBench()
    using client = new Client(bench.port)
    client.say(`${v1('203.0.113.7')}${v1('203.0.113.8')}`)
    expect(await client.ends()).toBe('REFUSED proxy-malformed\r\n')
    await bench.idle()
    expect(find(bench.lines, 'proxy.refused')).toMatchObject({ reason: 'proxy-again' })
  })

  test('PX-37: one peer cannot fill the worker with headers that never come', async () => {
    const awaitedHeaders = new AwaitedHeaders()
    for (let n = 0; awaitedHeaders.begin('127.0.0.1'); n++) expect(n).toBeLessThan(100_000)
    await using bench = await openBench({ awaitedHeaders })
    using client = new Client(bench.port)
    using direct = new Client(bench.port, '127.0.0.7')
    expect(await client.ends()).toBe('')
    expect(await direct.hears(/\r\n/)).toContain('HELLO 127.0.0.7')
    expect(find(bench.lines, 'connection.overload')).toMatchObject({ listener: 'mx' })
  })
})

describe('what the log says', () => {
  test('J9, S5, S14: who connected and whom it speaks for, under one id from the greeting to the close', async () => {
    await using bench = await openBench()
    using client = new Client(bench.port)
    client.say(v2('203.0.113.7', 45_678)).say('QUIT\r\n')
    const [, id] = /proxied (\w+)/.exec(await client.ends()) ?? []
    await bench.idle()
    expect(eventsOf(bench.lines)).toEqual(['proxy.accepted', 'connection.close'])
    const who = { id, listener: 'mx', client: '203.0.113.7', clientPort: 45_678, proxy: '127.0.0.1', via: 'v2' }
    for (const line of bench.lines) expect(line).toMatchObject(who)
    expect(bench.lines[0]).toMatchObject({ network: '127.0.0.1', destination: '192.0.2.1', destinationPort: 25 })
    expect(bench.lines[1]).toMatchObject({ reason: 'quit' })
  })

  test('J15, PX-26: health checks and bare connects are told in one line a minute, not one by one', async () => {
    await using bench = await openBench()
    for (let n = 0; n < 5; n++) {
      using check = new Client(bench.port)
      check.say(v2Local)
      await check.hears(/HELLO 127\.0\.0\.1:\d+ proxy-itself/)
      check.socket.resetAndDestroy()
      using bare = new Client(bench.port)
      bare.socket.end()
      await bare.ends()
    }
    await bench.idle()
    expect(bench.lines.every((line) => line['level'] === 'debug')).toBe(true)
    bench.lines.length = 0
    bench.summary.tell()
    expect(bench.lines).toMatchObject([
      { event: 'health.checks', listener: 'mx', proxy: '127.0.0.1', count: 5 },
      { event: 'health.silent-peers', listener: 'mx', proxy: '127.0.0.1', count: 5 },
    ])
  })

  test('H7, W8: a version 1 check names its own connection: it is quiet too, and no policy is about it', async () => {
    const seen: string[] = []
    await using bench = await openBench({ policies: [refusing(seen)] })
    using check = new Client(bench.port)
    await once(check.socket, 'connect')
    check.say(`PROXY TCP4 127.0.0.1 127.0.0.1 ${check.socket.localPort} ${bench.port}\r\n`).say('QUIT\r\n')
    expect(await check.ends()).toMatch(/^HELLO 127\.0\.0\.1:\d+ proxied/)
    using neighbour = new Client(bench.port)
    neighbour.say(v1('127.0.0.1', 1))
    expect(await neighbour.ends()).toBe('REFUSED defer rate\r\n')
    // A balancer that keeps client addresses connects from the end that its header names: that is a client.
    using kept = new Client(bench.port)
    await once(kept.socket, 'connect')
    const { localPort: keptPort } = kept.socket
    kept.say(v1('127.0.0.1', keptPort))
    expect(await kept.ends()).toBe('REFUSED defer rate\r\n')
    await bench.idle()
    expect(seen).toEqual(['127.0.0.1', '127.0.0.1'])
    const told = bench.lines.filter((line) => line['level'] !== 'debug')
    expect(eventsOf(told.filter((line) => line['clientPort'] === 1))).toEqual(refusedLines)
    expect(eventsOf(told.filter((line) => line['clientPort'] === keptPort))).toEqual(refusedLines)
    expect(told).toHaveLength(2 * refusedLines.length)
  })

  test.each<[string, Parameters<typeof openBench>[0]]>([
    ['a policy', { policies: [accessList(networks(['203.0.113.0/24']))] }],
    ['backends that are down', { backendsDown: () => 'down', refusesWhenBackendsDown: true }],
  ])('S14: a client that is refused for %s has a last line as it has a first', async (_what, options) => {
    await using bench = await openBench(options)
    using client = new Client(bench.port)
    client.say(v1('203.0.113.7'))
    await client.ends()
    await bench.logged('connection.close')
    expect(bench.lines.map(({ event, reason }) => [event, reason])).toEqual([
      ['proxy.accepted', undefined],
      [expect.stringMatching(/^(policy|backends)\.refused$/), expect.any(String)],
      ['connection.close', 'refused'],
    ])
    expect(find(bench.lines, 'connection.close')?.['bytesOut']).toBeGreaterThan(0)
  })

  test('a session that throws is a bug: the client hears the farewell, the log the stack, the others nothing', async () => {
    await using bench = await openBench()
    using other = new Client(bench.port, '127.0.0.7')
    using client = new Client(bench.port, '127.0.0.8')
    client.say('THROW\r\n')
    expect(await client.ends()).toMatch(/FAILED\r\n$/)
    await other.hears(/HELLO/)
    expect((await bench.logged('internal-error'))['stack']).toContain('a bug')
    expect(await bench.logged('connection.close')).toMatchObject({ reason: 'internal-error', client: '127.0.0.8' })
  })
})

describe('policy is about the client', () => {
  test('S16, H5: a denied network is refused by the client address, with the configured code and words', async () => {
    const deny = accessList(networks(['203.0.113.0/24']), { code: 550, text: 'not here' })
    await using bench = await openBench({ policies: [deny] })
    using denied = new Client(bench.port)
    using other = new Client(bench.port)
    denied.say(v1('203.0.113.7'))
    other.say(v1('198.51.100.7'))
    expect(await denied.ends()).toBe('REFUSED 550 not here\r\n')
    expect(await other.hears(/\r\n/)).toContain('HELLO 198.51.100.7')
    expect(find(bench.lines, 'policy.refused')).toMatchObject({
      reason: 'listed',
      policy: 'deny',
      client: '203.0.113.7',
      proxy: '127.0.0.1',
      msg: '203.0.113.7 is in 203.0.113.0/24 of policy.deny',
    })
  })

  test('S6, S7, S8, S9: an ignored host meets no policy and leaves no line, judged by the client after the header', async () => {
    const seen: string[] = []
    await using bench = await openBench({ policies: [refusing(seen)], ignoredHosts: ['10.0.0.0/24'] })
    using ignored = new Client(bench.port)
    ignored.say(v1('10.0.0.9')).say('QUIT\r\n')
    expect(await ignored.ends()).toMatch(/^HELLO 10\.0\.0\.9:45678 proxied/)
    await bench.idle()
    expect({ seen, lines: bench.lines }).toEqual({ seen: [], lines: [] })
    using other = new Client(bench.port)
    other.say(v1('10.0.1.9'))
    expect(await other.ends()).toBe('REFUSED defer rate\r\n')
    expect(seen).toEqual(['10.0.1.9'])
  })

  test('RS-05, J14, W8: ceilings count clients, never the balancer, and what ended is given back', async () => {
    const tally = new LocalTally({ concurrent: 1 })
    const keys = { rate: 'rate', concurrency: 'concurrency' }
    const limit = connectionLimits(
      { name: 'client-limits', bounds: { concurrent: 1 }, tally, keyOf: clientKey, keys },
      networks([]),
    )
    await using bench = await openBench({ policies: [limit] })
    for (let round = 0; round < 3; round++) {
      using ann = new Client(bench.port)
      using bob = new Client(bench.port)
      ann.say(v1('203.0.113.7'))
      bob.say(v1('203.0.113.8'))
      await ann.hears(/HELLO 203\.0\.113\.7/)
      await bob.hears(/HELLO 203\.0\.113\.8/)
      using more = new Client(bench.port)
      more.say(v1('203.0.113.7', 45_679))
      expect(await more.ends()).toBe('REFUSED defer concurrency\r\n')
      // The balancer's own checks are never refused, however many clients it has.
      using check = new Client(bench.port)
      check.say(v2Local)
      await check.hears(/proxy-itself/)
      for (const client of [ann, bob, check]) client.say('QUIT\r\n')
      await Promise.all([ann.ends(), bob.ends(), check.ends()])
      await bench.idle()
      expect(tally.clients).toBe(0)
    }
  })

  test('JS-07: a client that is gone while a policy thinks is let go', async () => {
    const { promise, resolve } = Promise.withResolvers<{ verdict: 'pass' }>()
    let closed = 0
    const slow: Policy = { name: 'slow', onConnect: () => promise, onClose: () => closed++ }
    await using bench = await openBench({ policies: [slow] })
    using client = new Client(bench.port, '127.0.0.7')
    await bench.logged('connection.open')
    client.socket.resetAndDestroy()
    await delay(30)
    resolve({ verdict: 'pass' })
    await bench.idle()
    expect(find(bench.lines, 'connection.close')).toMatchObject({ reason: 'connection-lost' })
    expect({ closed, open: bench.connections.size }).toEqual({ closed: 1, open: 0 })
  })
})

describe('room and time', () => {
  test('RS-03: short of memory, everybody new is told to come back behind the header, and who is there is served on', async () => {
    let isShort = false
    await using bench = await openBench({ isShortOfMemory: () => isShort })
    using before = new Client(bench.port)
    before.say(v1('203.0.113.7'))
    await before.hears(/HELLO/)
    isShort = true
    for (const header of [v1('203.0.113.8'), v2Local]) {
      using client = new Client(bench.port)
      client.say(header)
      expect(await client.ends()).toBe('REFUSED overloaded\r\n')
    }
    expect(find(bench.lines, 'connection.overload')).toMatchObject({ count: 1, msg: 'told to come back' })
    before.say('QUIT\r\n')
    await before.ends()
    isShort = false
    using after = new Client(bench.port)
    after.say(v1('203.0.113.9'))
    await after.hears(/HELLO/)
  })

  test('over the ceiling a connection is closed without a word, and a place that is free is given again', async () => {
    await using bench = await openBench({ places: new Places(2, new Places(1)) })
    using first = new Client(bench.port, '127.0.0.7')
    await first.hears(/HELLO/)
    using second = new Client(bench.port, '127.0.0.8')
    expect(await second.ends()).toBe('')
    expect(find(bench.lines, 'connection.overload')).toMatchObject({ count: 1 })
    first.say('QUIT\r\n')
    await first.ends()
    await bench.idle()
    using third = new Client(bench.port, '127.0.0.9')
    await third.hears(/HELLO/)
  })

  test('OP-02: a worker that stops lets a session finish its work, and asks the others to leave', async () => {
    const connections = new OpenConnections()
    await using bench = await openBench({ connections })
    using idle = new Client(bench.port, '127.0.0.7')
    using busy = new Client(bench.port, '127.0.0.8')
    using unknown = new Client(bench.port)
    await idle.hears(/HELLO/)
    await busy.say('WORK\r\n').hears(/ECHO WORK/)
    connections.stop()
    expect(await idle.ends()).toMatch(/BYE\r\n$/)
    expect(await unknown.ends()).toBe('')
    busy.say('DONE\r\n')
    expect(await busy.ends()).toMatch(/ECHO DONE\r\nBYE\r\n$/)
  })

  test('a session that does not finish in time still takes leave', async () => {
    const connections = new OpenConnections()
    await using bench = await openBench({ connections })
    using busy = new Client(bench.port, '127.0.0.8')
    await busy.say('WORK\r\n').hears(/ECHO WORK/)
    connections.stop()
    connections.cut()
    expect(await busy.ends()).toMatch(/FAILED\r\n$/)
    await bench.idle()
    expect(find(bench.lines, 'connection.close')).toMatchObject({ reason: 'stopping' })
  })
})

const backendsDown = (): string => 'inside: 10.0.0.1:25 is down'

describe('X4: when all backends are down', () => {
  test('a balancer that looks whether we live hears it; a client is served', async () => {
    await using bench = await openBench({ backendsDown })
    using check = new Client(bench.port)
    check.say(v2Local)
    expect(await check.ends()).toContain('backends-down')
    using client = new Client(bench.port)
    client.say(v1('203.0.113.7'))
    expect(await client.hears(/\r\n/)).toMatch(/^HELLO/)
  })

  test('with `refuse` a client hears it as well, and the log says why', async () => {
    await using bench = await openBench({ backendsDown, refusesWhenBackendsDown: true })
    using client = new Client(bench.port)
    client.say(v1('203.0.113.7'))
    expect(await client.ends()).toContain('backends-down')
    expect(await bench.logged('backends.refused')).toMatchObject({
      client: '203.0.113.7',
      reason: 'backends-down',
      msg: 'inside: 10.0.0.1:25 is down',
    })
  })

  test('as long as one is left nobody hears of it', async () => {
    await using bench = await openBench({ backendsDown: () => undefined, refusesWhenBackendsDown: true })
    using client = new Client(bench.port)
    client.say(v2Local)
    expect(await client.hears(/\r\n/)).toMatch(/^HELLO/)
  })
})

/** By all labels but that of the listener. */
const totals = ({ counts }: { readonly counts: Counts }, name: MetricName) =>
  Object.fromEntries(counts.countsOf(name).map(({ labels, held }) => [labels.slice(1).join(' '), held.value]))

describe('what is counted', () => {
  test('each connection that was accepted ends in one outcome', async () => {
    await using bench = await openBench({ ignoredHosts: ['10.0.0.0/24'], proxy: { headerTimeoutMs: 500 } })
    for (const bytes of [v1('203.0.113.7'), v2('203.0.113.7'), v1('10.0.0.9'), v2Local]) {
      using client = new Client(bench.port)
      client.say(bytes).say('QUIT\r\n')
      await client.ends()
    }
    for (const bytes of ['GET / HTTP/1.0\r\n', 'PROXY TCP4 no\r\n', '']) {
      using client = new Client(bench.port)
      client.say(bytes)
      await client.ends()
    }
    const leaving = new Client(bench.port)
    await once(leaving.socket, 'connect')
    leaving[Symbol.dispose]()
    bench.summary.tell()
    while (bench.counts.sumOf('postern_connections_open') > 0) await delay(5)
    await bench.idle()
    expect(totals(bench, 'postern_connections_total')).toEqual({
      quit: 2,
      ignored: 1,
      'health-check': 1,
      'proxy-refused': 3,
      'silent-peer': 1,
    })
    expect(bench.counts.sumOf('postern_connections_accepted_total')).toBe(8)
    expect(totals(bench, 'postern_proxy_headers_total')).toEqual({ '1 proxy': 2, '2 proxy': 1, '2 local': 1 })
    expect(totals(bench, 'postern_proxy_refused_total')).toMatchObject({ 'proxy-missing ': 1, 'proxy-timeout ': 1 })
    const [wait] = bench.counts.distributionsOf('postern_proxy_header_wait_seconds')
    expect(wait?.held.buckets.reduce((sum, count) => sum + count, 0)).toBe(4)
  })

  test('X1, W4: who is not trusted, and who is and keeps silent, is told with the mend', async () => {
    await using bench = await openBench({ proxy: { mode: 'require', headerTimeoutMs: 50 } })
    using stranger = new Client(bench.port, '127.0.0.7')
    await stranger.ends()
    using silent = new Client(bench.port)
    await silent.ends()
    await bench.idle()
    expect(bench.incidents.takeNews()).toMatchObject({
      peers: [
        { kind: 'untrusted-sender', peer: '127.0.0.7', count: 1, mend: /add 127\.0\.0\.7 to trusted-networks/ },
        { kind: 'silent-peer', peer: '127.0.0.1', count: 1, mend: /holds the header back/ },
      ].map(({ mend, ...peer }) => ({ ...peer, mend: expect.stringMatching(mend) })),
      refusals: [
        { event: 'proxy.refused', reason: 'not-trusted', client: '127.0.0.7' },
        { event: 'proxy.refused', reason: 'proxy-timeout', proxy: '127.0.0.1' },
      ],
    })
  })

  test('a refusal of a policy is counted by its reason, and an open connection can be looked at', async () => {
    const policies = [accessList(networks(['203.0.113.0/24']), undefined)]
    await using bench = await openBench({ policies })
    using refused = new Client(bench.port)
    refused.say(v1('203.0.113.7'))
    await refused.ends()
    using open = new Client(bench.port)
    open.say(v2('198.51.100.1'))
    await open.hears(/^HELLO /)
    expect(totals(bench, 'postern_policy_refusals_total')).toEqual({ 'connect listed': 1 })
    expect([...bench.connections.describe()]).toMatchObject([
      { listener: 'mx', client: '198.51.100.1', clientPort: 45_678, proxy: '127.0.0.1', via: 'v2', commands: 0 },
    ])
  })

  test('X4: while the gateway leaves, a health check is refused and a client is served', async () => {
    await using bench = await openBench({ isLeaving: () => true })
    using check = new Client(bench.port)
    check.say(v2Local)
    expect(await check.ends()).toBe('REFUSED stopping\r\n')
    using client = new Client(bench.port)
    client.say(v2('203.0.113.7'))
    expect(await client.hears(/\r\n/)).toMatch(/^HELLO 203\.0\.113\.7/)
  })
})
