import { refusalReply } from '../../src/index.ts'
import { describe, expect, test } from 'vitest'

describe('replies to clients that get no session', () => {
  test.each([
    ['proxy-timeout', '421 4.7.0 mx.example PROXY timed out\r\n'],
    ['proxy-missing', '421 4.7.0 mx.example PROXY header required\r\n'],
    ['proxy-malformed', '421 4.7.0 mx.example PROXY header malformed\r\n'],
    ['proxy-untrusted', '421 4.7.0 mx.example PROXY header from an untrusted network\r\n'],
    ['not-trusted', '421 4.7.0 mx.example Connections are accepted from trusted proxies only\r\n'],
    ['overloaded', '421 4.3.2 mx.example Too many connections, try again later\r\n'],
    ['backends-down', '421 4.3.2 mx.example No server behind this one takes mail now, try again later\r\n'],
    ['stopping', '421 4.3.2 mx.example Shutting down, try again later\r\n'],
    ['internal-error', '421 4.3.0 mx.example Internal error\r\n'],
  ] as const)('H4, S12: %s', (refusal, reply) => expect(refusalReply(refusal, 'mx.example')).toBe(reply))

  test.each([
    ['S16: listed', { verdict: 'refuse', reason: 'listed' }, '554 5.7.1 mx.example Access denied\r\n'],
    [
      'S17: rate',
      { verdict: 'defer', reason: 'rate' },
      '421 4.7.0 mx.example Too many connections from your address, try again later\r\n',
    ],
    [
      'unavailable',
      { verdict: 'defer', reason: 'unavailable' },
      '421 4.3.2 mx.example Not available now, try again later\r\n',
    ],
    [
      'S16: words and code of the operator',
      { verdict: 'refuse', reason: 'listed', reply: { smtpCode: 521, text: 'Go\r\naway' } },
      '521 5.7.1 mx.example Go away\r\n',
    ],
    [
      'a code of the wrong class is not taken',
      { verdict: 'refuse', reason: 'listed', reply: { smtpCode: 250, text: 'Welcome' } },
      '554 5.7.1 mx.example Welcome\r\n',
    ],
    ['drop', { verdict: 'drop', reason: 'listed' }, ''],
  ] as const)('%s', (_, decision, reply) => expect(refusalReply(decision, 'mx.example')).toBe(reply))
})
