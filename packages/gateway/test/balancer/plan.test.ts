import { describe, expect, test } from 'vitest'
import { parseFrontAddress, parseGatewayAddress, planBalancer, type PlanOptions } from '../../src/balancer/plan.ts'
import type { ListenerConfig, ListenerLiveConfig, ProxyMode } from '../../src/config/schema.ts'

interface Row {
  readonly name: string
  /** A second address. */
  readonly also?: string
  readonly host?: string
  readonly port?: number
  readonly mode?: ProxyMode
  readonly trusted?: string
}

function plan(rows: readonly Row[], options: Partial<PlanOptions> = {}) {
  const listeners: ListenerConfig[] = rows.map(({ name, host = '10.0.0.11', also, port = 25 }) => ({
    name,
    protocol: 'smtp',
    tls: 'starttls',
    bind: [host, ...(also === undefined ? [] : [also])].map((each) => ({ host: each, port })),
  }))
  const live: ListenerLiveConfig[] = rows.map(({ name, mode = 'require', trusted = '10.0.0.10' }) => ({
    name,
    proxy: {
      mode,
      trustedNetworks: [trusted],
      headerTimeoutMs: 5000,
      maxHeaderBytes: 4096,
      optionalWaitMs: 1000,
      refusesSecondHeader: false,
    },
    requiresTls: false,
    maxConnections: 'unlimited',
    signIn: 'accounts',
    whenBackendsDown: 'defer',
    clientCertificates: 'off',
  }))
  return planBalancer(listeners, live, { names: [], gateways: [], front: [], ...options })
}

function servicesOf(outcome: ReturnType<typeof plan>) {
  if (!outcome.ok) throw new Error(outcome.reason)
  return outcome.plan.services.map(({ name, front, gateways }) => ({ name, front, gateways }))
}

describe('X6: what is served', () => {
  test('each listener that takes a header, on the registered port, where it is bound', () => {
    expect(
      servicesOf(
        plan([
          { name: 'mx', port: 2525 },
          { name: 'direct', mode: 'off' },
        ]),
      ),
    ).toEqual([
      {
        name: 'mx',
        front: [{ host: '0.0.0.0', port: 25 }],
        gateways: [{ host: '10.0.0.11', port: 2525 }],
      },
    ])
  })

  test('no address at which a balancer of its family would be a stranger', () => {
    const both = { name: 'mx', also: '2001:db8::11' }
    const hosts = (trusted: string) => servicesOf(plan([{ ...both, trusted }]))[0]?.gateways.map(({ host }) => host)
    expect(hosts('10.0.0.0/8')).toEqual(['10.0.0.11'])
    expect(hosts('2001:db8::/32')).toEqual(['2001:db8::11'])
  })

  test('several gateways have the port of the listener', () => {
    const outcome = plan([{ name: 'mx', host: '0.0.0.0', port: 2525 }], { gateways: ['10.0.0.1', '2001:db8::1'] })
    expect(servicesOf(outcome)[0]?.gateways).toEqual([
      { host: '10.0.0.1', port: 2525 },
      { host: '2001:db8::1', port: 2525 },
    ])
  })

  test('a listener’s own front wins over the one of all', () => {
    const front = [{ host: '192.0.2.1' }, { name: 'two', host: '192.0.2.2', port: 2626 }]
    const services = servicesOf(plan([{ name: 'one' }, { name: 'two' }], { front }))
    expect(services.map((service) => service.front)).toEqual([
      [{ host: '192.0.2.1', port: 25 }],
      [{ host: '192.0.2.2', port: 2626 }],
    ])
  })

  test('different lists of trust are told apart', () => {
    const outcome = plan([{ name: 'one' }, { name: 'two', trusted: '10.9.0.0/16' }], {
      front: [{ name: 'two', host: '0.0.0.0', port: 26 }],
    })
    expect(outcome.ok && outcome.plan.trust).toEqual([
      expect.stringMatching(/^Listener one takes headers from 10\.0\.0\.10:/),
      expect.stringMatching(/^Listener two takes headers from 10\.9\.0\.0\/16:/),
    ])
  })
})

test.each<[string, readonly Row[], Partial<PlanOptions>, RegExp]>([
  ['nobody takes a header', [{ name: 'mx', mode: 'off' }], {}, /^no listener takes a PROXY header/],
  ['an unknown name', [{ name: 'mx' }], { names: ['mix'] }, /^there is no listener mix$/],
  [
    'an unknown name of a front',
    [{ name: 'mx' }],
    { front: [{ name: 'mix', host: '::' }] },
    /^there is no listener mix$/,
  ],
  [
    'one that is asked for takes none',
    [{ name: 'mx', mode: 'off' }],
    { names: ['mx'] },
    /takes no PROXY header: say proxy\.mode/,
  ],
  ['bound to every address', [{ name: 'mx', host: '::' }], {}, /--gateway ADDRESS$/],
  ['a port that the system chooses', [{ name: 'mx', port: 0 }], { gateways: ['10.0.0.1'] }, /--gateway ADDRESS$/],
  [
    'two of one port',
    [{ name: 'a' }, { name: 'b', port: 26 }],
    {},
    /^listeners a and b would both be served on 0\.0\.0\.0:25/,
  ],
])('X6: %s is said', (_, rows, options, reason) => {
  const outcome = plan(rows, options)
  expect(outcome.ok ? '' : outcome.reason).toMatch(reason)
})

test.each([
  ['192.0.2.1', { host: '192.0.2.1' }],
  ['mx=192.0.2.1:2525', { name: 'mx', host: '192.0.2.1', port: 2525 }],
  ['mx=[2001:DB8::1]:25', { name: 'mx', host: '2001:db8::1', port: 25 }],
  ['[::]', { host: '::' }],
  ['mx=', undefined],
  ['2525', undefined],
  ['mx.example', undefined],
  ['mx=192.0.2.1:25\nbind :26', undefined],
])('--listen %j', (text, address) => {
  expect(parseFrontAddress(text)).toEqual(address)
})

test.each([
  ['10.0.0.11', '10.0.0.11'],
  ['2001:DB8::1', '2001:db8::1'],
  ['[2001:db8::1]', '2001:db8::1'],
  ['10.0.0.11:25', undefined],
  ['[2001:db8::1]:25', undefined],
  ['0.0.0.0', undefined],
  ['gateway', undefined],
])('--gateway %j', (text, host) => {
  expect(parseGatewayAddress(text)).toBe(host)
})
