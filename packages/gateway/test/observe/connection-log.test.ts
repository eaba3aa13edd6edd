import { endpoint, identify, type ConnectionInfo } from '@postern/core'
import { describe, expect, test } from 'vitest'
import { limits } from '../../src/limits.ts'
import { ConnectionLog } from '../../src/observe/connection-log.ts'
import { Counts } from '../../src/observe/counts.ts'
import { Incidents } from '../../src/observe/incidents.ts'
import { ListenerCounts } from '../../src/observe/listener-counts.ts'
import { recordingLogger } from '../kit/acceptor-bench.ts'

const peer = endpoint('203.0.113.7', 40_000)
const identity = identify({ peer, local: endpoint('192.0.2.1', 25), verdict: { rule: 'absent' } })
const connection: ConnectionInfo = {
  id: '0123456789abcdef',
  listener: { name: 'mx', protocol: 'smtp', tls: 'off' },
  identity,
  security: { kind: 'cleartext' },
}
const envelope = {
  reversePath: 'ann@example.org',
  forwardPaths: ['bob@example.org', 'eve@example.org'],
  isSmtpUtf8: false,
  body: '8BITMIME',
} as const

const listenerCounts = (name: string) => new ListenerCounts(new Counts(), name, new Incidents())

function openLog(level: 'debug' | 'info' = 'info', counts = listenerCounts('mx')) {
  const { logger, lines } = recordingLogger(level)
  const log = new ConnectionLog(logger, connection.id, counts, peer)
  log.identified(identity, { isIgnored: false, isCheck: false, isTlsBelieved: true })
  lines.length = 0
  return { log, lines }
}

describe('the records of a connection', () => {
  test('an accepted and a refused login', () => {
    const { log, lines } = openLog()
    log.authenticated({ connection, mechanism: 'PLAIN', username: 'ann@example.org', outcome: 'granted' })
    log.authenticated({ connection, mechanism: 'LOGIN', username: 'eve\r\n', outcome: 'denied', detail: 'no' })
    expect(lines).toMatchObject([
      { event: 'auth.ok', level: 'info', id: connection.id, mechanism: 'PLAIN', username: 'ann@example.org' },
      { event: 'auth.failed', reason: 'denied', username: String.raw`eve\x0d\x0a`, msg: 'no', client: '203.0.113.7' },
    ])
  })

  test('OP-06: what the board tells of a session names no user; the log does', () => {
    const counts = listenerCounts('mx')
    const { log, lines } = openLog('info', counts)
    const detail = 'ann@example.org has 2 IMAP sessions open'
    log.refused({ connection, verb: 'LOGIN', reason: 'concurrency', detail })
    log.authenticated({ connection, mechanism: 'PLAIN', username: 'ann@example.org', outcome: 'unavailable', detail })
    expect(lines).toMatchObject([{ msg: detail }, { msg: detail, username: 'ann@example.org' }])
    const told = counts.incidents.takeNews()
    expect(told?.refusals).toMatchObject([{ reason: 'concurrency' }, { reason: 'unavailable' }])
    expect(JSON.stringify(told)).not.toContain('ann')
  })

  test('LG-06: a transaction names the sender and counts the recipients', () => {
    const { log, lines } = openLog()
    log.transaction({ connection, id: 'x.1', envelope, replyCode: 250, bytes: 4096 })
    log.transaction({ connection, id: 'x.2', envelope, replyCode: 452, bytes: 4096, detail: 'no space' })
    expect(lines).toMatchObject([
      { event: 'smtp.transaction', level: 'info', transaction: 'x.1', reversePath: 'ann@example.org', recipients: 2 },
      { event: 'smtp.transaction', level: 'warn', reply: 452, msg: 'no space' },
    ])
    expect(JSON.stringify(lines)).not.toContain('bob@')
  })

  test('what was repaired in a message stands in its record, and where it is noted in one of its own', () => {
    const { log, lines } = openLog()
    log.transaction({ connection, id: 'x.1', envelope, replyCode: 250, bytes: 9, repairs: { newlines: 2, nuls: 0 } })
    log.repaired({ connection, id: 'x.1', newlines: 2 })
    expect(lines).toMatchObject([
      { event: 'smtp.transaction', level: 'info', newlines: 2, nuls: 0 },
      { event: 'smtp.repaired', level: 'warn', transaction: 'x.1', newlines: 2, client: '203.0.113.7' },
    ])
    expect(lines[1]?.['msg']).toContain('bare-newline = "reject"')
  })

  test('a front end announces its client: by XCLIENT for all lines behind it, by XFORWARD for one', () => {
    const { log, lines } = openLog()
    const client = endpoint('198.51.100.9', 4_242)
    log.announced({ connection, verb: 'XFORWARD', client: { addr: '192.0.2.77', helo: 'a\r\nb' } })
    log.announced({
      connection: { ...connection, identity: { ...identity, client } },
      verb: 'XCLIENT',
      client: { addr: '198.51.100.9' },
    })
    log.refused({ connection, verb: 'RCPT', reason: 'no-relay', detail: 'not ours' })
    expect(lines).toMatchObject([
      { event: 'client.announced', verb: 'XFORWARD', client: '203.0.113.7', 'announced.helo': String.raw`a\x0d\x0ab` },
      { event: 'client.announced', verb: 'XCLIENT', client: '198.51.100.9', clientPort: 4_242, via: 'xclient' },
      { event: 'policy.refused', client: '198.51.100.9' },
    ])
  })

  test('the clumsiness of a client is for those who debug it; a policy is news, a failing disk a warning', () => {
    const { log, lines } = openLog()
    log.refused({ connection, verb: 'MAIL', reason: 'syntax', detail: 'no angle bracket' })
    log.refused({ connection, verb: 'RCPT', reason: 'no-relay', detail: 'not ours' })
    log.refused({ connection, verb: 'RCPT', reason: 'unavailable', detail: 'EACCES' })
    expect(lines).toMatchObject([
      { event: 'policy.refused', level: 'info', verb: 'RCPT', reason: 'no-relay', msg: 'not ours' },
      { event: 'policy.refused', level: 'warn', reason: 'unavailable', msg: 'EACCES' },
    ])
  })

  test('LG-04: one connection writes a bounded number of lines, and its last one tells how many were left out', () => {
    const { log, lines } = openLog()
    for (let n = 0; n < 1000; n++) log.refused({ connection, verb: 'RCPT', reason: 'no-relay', detail: 'not ours' })
    log.closed('too-many-errors', { in: 1, out: 2 })
    expect(lines.length).toBeLessThanOrEqual(limits.maxLogLinesPerConnection + 1)
    expect(lines.at(-1)).toMatchObject({ event: 'connection.close', reason: 'too-many-errors', suppressed: 951 })
  })

  test('LG-01: the longest line stays within one write of the log', () => {
    const { logger, lines } = recordingLogger()
    const log = new ConnectionLog(logger, connection.id, listenerCounts('l'.repeat(500)), peer)
    const evil = '\u001b'.repeat(5000)
    log.proxyRefused('proxy-malformed', evil, { code: evil, firstBytes: evil })
    log.closed('internal-error', { in: 1, out: 2 }, Object.assign(new Error(evil), { stack: evil }))
    for (const line of lines) expect(Buffer.byteLength(JSON.stringify(line))).toBeLessThan(limits.maxLogWriteBytes)
  })

  test('S9: of an ignored host nothing is written, whatever happens', () => {
    const { logger, lines } = recordingLogger()
    const log = new ConnectionLog(logger, connection.id, listenerCounts('mx'), peer)
    log.identified(identity, { isIgnored: true, isCheck: false, isTlsBelieved: true })
    log.refused({ connection, verb: 'RCPT', reason: 'no-relay', detail: 'not ours' })
    log.transaction({ connection, id: 'x.1', envelope, replyCode: 250, bytes: 4096 })
    log.closed('quit', { in: 1, out: 2 })
    expect(lines).toEqual([])
  })
})
