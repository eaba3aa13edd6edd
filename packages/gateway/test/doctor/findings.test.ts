import { describe, expect, test } from 'vitest'
import type { AcmeStatus } from '../../src/acme/keeper.ts'
import type { Status } from '../../src/admin/status.ts'
import type { AcmeConfig, LimitsConfig } from '../../src/config/schema.ts'
import {
  judgeAcme,
  judgeBacklog,
  judgeCertificate,
  judgeClock,
  judgeDataDir,
  judgeFileLimit,
  judgeHostname,
  judgePort,
  judgeStatus,
} from '../../src/doctor/findings.ts'
import { makeCertificate } from '../kit/certificates.ts'

const certificate = makeCertificate('mx.example', 'mail.example')
const day = 86_400_000
const limits = (maxConnectionsPerWorker: number | 'unlimited') => ({ maxConnectionsPerWorker }) as LimitsConfig
const wellStatus = {
  health: { status: 'ok', reasons: [] as string[] },
  identity: { untrustedSenders: [], silentPeers: [] },
  workers: [{ slot: 0, eventLoopDelayMs: 3 }],
} as unknown as Status

const acme: AcmeConfig = {
  names: ['mx.example', 'imap.example'],
  directory: 'https://acme.example/directory',
  folder: '/nowhere',
  keyType: 'ecdsa',
  renewBeforeMs: 30 * day,
}
const found = new Map<string, readonly string[] | string>([['mx.example', ['192.0.2.1']]])
const failed: AcmeStatus = {
  names: acme.names,
  state: 'waiting',
  nextAt: 0,
  failure: { reason: 'challenge', cause: 'connection: refused', mend: 'open port 80', at: 0, inARow: 3 },
}

describe('postern doctor', () => {
  test.each<[string, Parameters<typeof judgeAcme>, string[]]>([
    ['that is there', [acme, true, found, undefined], ['ok orders and renews by itself']],
    [
      'that is ordered when somebody runs the gateway',
      [acme, false, found, undefined],
      [
        'advice no certificate for mx.example, imap.example has come from acme.example yet; it is ordered when the gateway runs, and port 80 of each name must lead to the admin endpoint of this gateway, for /.well-known/acme-challenge/',
      ],
    ],
    [
      'that does not come',
      [{ ...acme, bind: { host: '::', port: 80 } }, false, found, failed],
      ['wrong the last 3 orders failed (connection: refused): open port 80'],
    ],
    [
      'that is there, and is not renewed',
      [acme, true, found, failed],
      ['advice the last 3 orders failed (connection: refused): open port 80'],
    ],
    [
      'of a name that is not in the DNS',
      [acme, true, new Map([['imap.example', 'ENOTFOUND']]), undefined],
      ['wrong imap.example is not in the DNS (ENOTFOUND): the authority will not find it, and issues nothing'],
    ],
  ])('a certificate by ACME %s', (_, asked, expected) => {
    expect(judgeAcme(...asked).map(({ verdict, text }) => `${verdict} ${text}`)).toEqual(expected)
  })

  test('what stands in the place of a certificate is not judged as one', () => {
    expect(judgeCertificate({ ...certificate, isPlaceholder: true }, 'mx.example', Date.now())).toEqual([])
  })

  // The certificate is for two days.
  test.each([
    ['about to end', 'mx.example', Date.now(), ['advice']],
    ['expired', 'mx.example', Date.now() + 3 * day, ['wrong']],
    ['fresh', 'mail.example', Date.now() - 60 * day, ['ok']],
    ['of another name', 'other.example', Date.now() - 60 * day, ['ok', 'advice']],
  ])('a certificate that is %s', (_what, hostname, now, verdicts) => {
    expect(judgeCertificate(certificate, hostname, now).map(({ verdict }) => verdict)).toEqual(verdicts)
  })

  test.each([
    ['files for all', judgeFileLimit(65_536, limits(20_000)), 'ok', /65536/],
    ['too few files', judgeFileLimit(1024, limits(20_000)), 'advice', /more than 40000; .*: raise LimitNOFILE/],
    ['just too few files', judgeFileLimit(40_000, limits(20_000)), 'advice', /more than 40000/],
    ['just enough files', judgeFileLimit(40_001, limits(20_000)), 'ok', /40001/],
    ['no bound of connections', judgeFileLimit(1024, limits('unlimited')), 'advice', /below half/],
    ['a long queue', judgeBacklog(4096), 'ok', /4096/],
    ['a short queue', judgeBacklog(128), 'advice', /sysctl -w net\.core\.somaxconn=4096/],
    ['a port of ours', judgePort('0.0.0.0:25', 'EADDRINUSE', ['0.0.0.0:25']), 'ok', /serves it/],
    ['a low port of ours, bound by root', judgePort('0.0.0.0:25', 'EACCES', ['0.0.0.0:25']), 'ok', /serves it/],
    [
      'a port that is not served yet',
      judgePort('0.0.0.0:25', true, ['127.0.0.1:2525']),
      'advice',
      /reload .*admin\.bind/,
    ],
    ['a port beside ours', judgePort('0.0.0.0:25', 'EADDRINUSE', ['127.0.0.1:2525']), 'wrong', /another program/],
    ['a free port', judgePort('0.0.0.0:25', true), 'ok', /can be bound/],
    ['a taken port', judgePort('0.0.0.0:25', 'EADDRINUSE'), 'wrong', /another program/],
    ['a low port', judgePort('0.0.0.0:25', 'EACCES'), 'wrong', /CAP_NET_BIND_SERVICE/],
    ['a folder with room', judgeDataDir('/data', 2 ** 31, 2 ** 20), 'ok', /2048 MiB are free$/],
    ['a folder with little room', judgeDataDir('/data', 2 ** 24, 2 ** 20), 'advice', /^16 MiB .* 1MiB .*make room/],
    ['a folder without room', judgeDataDir('/data', 0, 2 ** 20), 'wrong', /make room/],
    ['a folder of somebody else', judgeDataDir('/data', 'EACCES', 2 ** 20), 'wrong', /EACCES.*the user of the service/],
    ['a file in place of a folder', judgeDataDir('/data', 'ENOTDIR', 2 ** 20), 'wrong', /no folder/],
    ['a name', judgeHostname('mx.example', ['192.0.2.1']), 'ok', /192\.0\.2\.1/],
    ['no name', judgeHostname('mx.example', 'ENOTFOUND'), 'advice', /ENOTFOUND/],
    ['a clock', judgeClock(true), 'ok', /synchronized/],
    ['a clock of its own', judgeClock(false), 'advice', /NTP/],
    ['a clock of which nothing is known', judgeClock(undefined), 'ok', /does not say/],
  ])('%s', (_what, { verdict, text }, expected, words) => {
    expect({ verdict, text }).toEqual({ verdict: expected, text: expect.stringMatching(words) })
  })

  test('X1: what a running gateway tells, each with its mend', () => {
    expect(judgeStatus(wellStatus)).toMatchObject([{ verdict: 'ok' }])
    const mend = 'add 10.0.0.1 to trusted-networks'
    const status = {
      ...wellStatus,
      health: { ...wellStatus.health, reasons: ['1 of 2 workers are ready'] },
      identity: { ...wellStatus.identity, untrustedSenders: [{ count: 3, mend }] },
      workers: [{ slot: 1, eventLoopDelayMs: 900 }],
    } as unknown as Status
    expect(judgeStatus(status).map(({ verdict, text }) => `${verdict} ${text}`)).toEqual([
      'wrong 1 of 2 workers are ready',
      'advice 3 times: add 10.0.0.1 to trusted-networks',
      'advice worker 1 is 900 ms late: more workers, or more machines',
    ])
  })
})
