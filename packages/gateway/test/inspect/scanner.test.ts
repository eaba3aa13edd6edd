// Rspamd's protocol, with a server that is scripted. The real one is in test/end-to-end.
import { createServer, type IncomingMessage, type Server } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { objectionToContent } from '../../src/inspect/judgement.ts'
import { readAnswer, Scanner, type ScanAnswer, type ScanQuestion } from '../../src/inspect/scanner.ts'

let server: Server
let answer: { status: number; body: string } | 'silence'
const asked: {
  readonly url: string | undefined
  readonly headers: IncomingMessage['headersDistinct']
  body: string
}[] = []

beforeAll(async () => {
  server = createServer((request, response) => {
    const seen = { url: request.url, headers: request.headersDistinct, body: '' }
    asked.push(seen)
    request.on('data', (chunk: Buffer) => (seen.body += chunk.toString('latin1')))
    request.on('end', () => {
      if (answer !== 'silence') response.writeHead(answer.status).end(answer.body)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
})
afterAll(() => {
  server.closeAllConnections()
  server.close()
})

const question: ScanQuestion = {
  ip: '2001:db8::7',
  helo: 'mail.sender.example',
  clientName: 'mail.sender.example',
  reversePath: 'ann@sender.example',
  forwardPaths: ['bob@example.org', 'jürgen@example.org'],
  transaction: '0123456789abcdef.1',
  hostname: 'mx.example.org',
  tlsVersion: 'TLSv1.3',
}

async function* message(): AsyncGenerator<Buffer> {
  yield await Promise.resolve(Buffer.from('Subject: hi\r\n'))
  yield Buffer.from('\r\nbody\r\n')
}

async function scan(said: typeof answer, timeoutMs = 20_000): Promise<ScanAnswer> {
  answer = said
  const { port } = server.address() as AddressInfo
  const scanner = new Scanner({ url: `http://127.0.0.1:${port}`, timeoutMs })
  try {
    return await scanner.scan(message(), 21, question)
  } finally {
    await scanner.close()
  }
}

describe('the question', () => {
  test('has the client of the header, the envelope and the message', async () => {
    await scan({ status: 200, body: '{"action":"no action"}' })
    expect(asked.at(-1)).toMatchObject({
      url: '/checkv2',
      body: 'Subject: hi\r\n\r\nbody\r\n',
      headers: {
        ip: ['2001:db8::7'],
        helo: ['mail.sender.example'],
        hostname: ['mail.sender.example'],
        from: ['ann@sender.example'],
        rcpt: ['bob@example.org', Buffer.from('jürgen@example.org').toString('latin1')],
        'queue-id': ['0123456789abcdef.1'],
        'mta-name': ['mx.example.org'],
        'content-length': ['21'],
      },
    })
  })
})

describe('an answer that is none', () => {
  test.each<[string, typeof answer, string]>([
    ['another status', { status: 503, body: '' }, 'status 503'],
    ['no JSON', { status: 200, body: 'busy' }, 'JSON'],
    ['no action', { status: 200, body: '{}' }, 'without an action'],
    ['a list', { status: 200, body: '[]' }, 'without an action'],
    [
      'more than is read',
      { status: 200, body: JSON.stringify({ action: 'reject', x: 'y'.repeat(1_100_000) }) },
      'too long',
    ],
  ])('%s', async (_, said, words) => {
    await expect(scan(said)).rejects.toThrow(words)
  })

  test('silence has an end', async () => {
    await expect(scan('silence', 200)).rejects.toThrow(/timeout|aborted/i)
  })
})

const config = { whenDown: 'defer' } as const

describe('rspamd’s actions as replies', () => {
  test.each([
    ['reject', 550, '5.7.1'],
    ['soft reject', 451, '4.7.1'],
    ['greylist', 451, '4.7.1'],
  ])('%s', (action, code, enhanced) => {
    const objection = objectionToContent(readAnswer({ action, score: 15.5, required_score: 15 }), config)
    expect(objection?.reply).toMatchObject({ code, enhanced })
    expect(objection?.reply.detail).toContain('score 15.5 of 15')
  })

  test.each(['no action', 'add header', 'rewrite subject', 'an action of the future'])(
    '%s is no objection',
    (action) => {
      expect(objectionToContent(readAnswer({ action }), config)).toBeUndefined()
    },
  )

  test('its own words are said, on one line', () => {
    const answerWithWords = readAnswer({ action: 'reject', messages: { smtp_message: 'Spam;\r\n250 OK é' } })
    expect(objectionToContent(answerWithWords, config)?.reply.lines).toEqual(['Spam; 250 OK'])
  })

  test('a scanner that is down', () => {
    expect(objectionToContent({ unknown: 'status 503' }, config)?.reply).toMatchObject({ code: 451 })
    expect(objectionToContent({ unknown: 'status 503' }, { whenDown: 'accept' })).toBeUndefined()
  })
})

test('headers and symbols of an answer, in each form that rspamd writes', () => {
  const read = readAnswer({
    action: 'add header',
    score: 7,
    required_score: 15,
    symbols: { SMALL: { score: 0.1 }, BIG: { score: 6 }, GOOD: { score: -3 }, ODD: 'x' },
    milter: {
      add_headers: { 'X-Spam': { value: 'Yes', order: 1 }, 'X-Two': ['a', { value: 'b' }], 'X-Bad': 7 },
      remove_headers: { 'X-Old': 0, 'X-One': 1 },
    },
  })
  expect(read.symbols).toEqual(['BIG(6)', 'GOOD(-3)', 'SMALL(0.1)', 'ODD(0)'])
  expect(read.addedHeaders).toEqual([
    ['X-Spam', 'Yes'],
    ['X-Two', 'a'],
    ['X-Two', 'b'],
  ])
  expect(read.removedHeaders).toEqual(['x-old'])
})
