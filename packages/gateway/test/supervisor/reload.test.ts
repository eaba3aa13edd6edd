import { limits as smtpLimits } from '@postern/smtp'
import { describe, expect, test } from 'vitest'
import type { Config, ListenerLiveConfig } from '../../src/config/schema.ts'
import { liveFor, startChanges } from '../../src/supervisor/reload.ts'

function listener(name: string, maxConnections: number): ListenerLiveConfig {
  return {
    name,
    requiresTls: false,
    maxConnections,
    signIn: 'accounts',
    clientCertificates: 'off',
    whenBackendsDown: 'defer',
    proxy: {
      mode: 'off',
      trustedNetworks: [],
      headerTimeoutMs: 30_000,
      maxHeaderBytes: 4096,
      optionalWaitMs: 1000,
      refusesSecondHeader: true,
    },
  }
}

function config(names: readonly string[], hostname: string, maxConnections = 10): Config {
  return {
    start: {
      workers: 2,
      dataDir: '/data',
      listeners: names.map((name) => ({ name, protocol: 'smtp', tls: 'off', bind: [{ host: '127.0.0.1', port: 25 }] })),
      admin: {},
    },
    live: {
      hostname,
      logLevel: 'info',
      listeners: names.map((name) => listener(name, maxConnections)),
      certificates: [],
      accounts: { takesCertificates: false },
      upstreams: [],
      lookups: [],
      routes: [],
      smtp: {
        localDomains: [],
        maxMessageBytes: 1000,
        maxRecipients: 100,
        bareNewline: 'normalize',
        nul: 'reject',
        submissionSender: 'own',
        errorDelayMs: 1000,
        bounds: { ...smtpLimits },
        relayNetworks: [],
        xclientNetworks: [],
        xforwardNetworks: [],
      },
      dns: { servers: [], timeoutMs: 2_000, tries: 2, clientNames: false },
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
        maxConnectionsPerWorker: 1000,
        maxTlsHandshakesPerWorker: 100,
        tlsHandshakeTimeoutMs: 10_000,
        drainTimeoutMs: 30_000,
        drainNoticeMs: 10_000,
        passwordChecksAtOnce: 2,
        passwordChecksWaiting: 100,
      },
    },
  }
}

describe('the live part of a new configuration', () => {
  test('is taken for the listeners that run; one that is gone keeps what it had, one that is new waits', () => {
    const live = liveFor(config(['mx', 'users'], 'old.example'), config(['new', 'mx'], 'new.example', 20))
    expect(live.hostname).toBe('new.example')
    expect(live.listeners).toEqual([listener('mx', 20), listener('users', 10)])
  })

  test('keeps the certificates while listeners need them and the new one names none', () => {
    const certificates = [{ certFile: 'c', keyFile: 'k', cert: 'C', key: 'K' }]
    const old = config(['mx'], 'old.example')
    const running = { ...old, live: { ...old.live, certificates } }
    expect(liveFor(running, config(['mx'], 'new.example')).certificates).toEqual(certificates)
  })
})

describe('what waits for a restart', () => {
  const { start } = config(['mx'], 'a.example')
  const rows = [
    ['nothing', start, []],
    ['the number of workers', { ...start, workers: 4 }, ['server.workers']],
    ['the data directory', { ...start, dataDir: '/other' }, ['server.data-dir']],
    ['the admin endpoint', { ...start, admin: { bind: { host: '127.0.0.1', port: 2080 } } }, ['admin']],
    [
      'a listener that changed',
      { ...start, listeners: start.listeners.map((one) => ({ ...one, tls: 'starttls' as const })) },
      ['listener.mx'],
    ],
    ['a listener more, and one less', config(['users'], 'a.example').start, ['listener.mx', 'listener.users']],
  ] as const
  test.each(rows)('%s', (_what, next, changes) => {
    expect(startChanges(start, next)).toEqual(changes)
  })
})
