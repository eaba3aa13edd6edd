import { duplexPair, type Duplex } from 'node:stream'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { escapeBytes, receiveHeader, type HeaderOutcome, type ReceiveHeaderOptions } from '@postern/core'
import { hex, signatureHex, ssl, text, tlv, v2, withChecksum } from '../kit/header-bytes.ts'
import { summary } from '../kit/summary.ts'

const required: ReceiveHeaderOptions = { rule: 'required', timeoutMs: 5_000 }
const optional: ReceiveHeaderOptions = { rule: 'optional', timeoutMs: 5_000, graceMs: 500 }

const line = text('PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n')
const binary = withChecksum(
  v2({ tlvs: [tlv(0x02, 'mx.example.org'), ssl(1, 1, tlv(0x21, 'TLSv1.3')), tlv(0x03, '\0\0\0\0')] }),
  66,
)
const ends = '192.0.2.1:56324 198.51.100.2:443'

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
})

afterEach(() => {
  if (vi.getTimerCount() > 0) throw new Error('a timer was left behind')
  vi.useRealTimers()
})

/** Two ends of a connection: ours, and the peer's. */
function connection(): { readonly socket: Duplex; readonly peer: Duplex } {
  const [socket, peer] = duplexPair()
  return { socket, peer }
}

/** Lets everything that is due happen, but no timer. */
async function settle(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve))
}

function told(result: HeaderOutcome): string {
  if (result.outcome === 'header' || result.outcome === 'second-header')
    return `${result.outcome} ${summary(result.header)}`
  return JSON.stringify(result)
}

/** What is left in the socket for whoever comes next, up to its end. */
async function remainder(socket: Duplex, peer: Duplex): Promise<string> {
  peer.end()
  const chunks: Buffer[] = []
  for await (const chunk of socket) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString('latin1')
}

describe('a header that comes', () => {
  test.each([
    ['text', line],
    ['binary', binary],
  ])('R-G-05, R-G-08, PX-06, C8: %s, cut in two at every byte', async (_name, header) => {
    for (let cut = 0; cut <= header.length; cut++) {
      const { socket, peer } = connection()
      const receiving = receiveHeader(socket, required)
      peer.write(header.subarray(0, cut))
      await settle()
      peer.write(Buffer.concat([header.subarray(cut), text('EHLO x\r\n')]))
      expect(told(await receiving)).toContain(ends)
      expect(await remainder(socket, peer)).toBe('EHLO x\r\n')
    }
  })

  test.each([
    ['text', line],
    ['binary', binary],
    ['a long one', v2({ tlvs: [tlv(0x02, 'mx.example.org'), tlv(0x04, 'x'.repeat(200))] })],
  ])('PX-06, C8: %s, byte by byte', async (_name, header) => {
    const { socket, peer } = connection()
    const receiving = receiveHeader(socket, required)
    for (const byte of header) {
      peer.write(Buffer.of(byte))
      await settle()
    }
    expect(told(await receiving)).toContain(ends)
    expect(await remainder(socket, peer)).toBe('')
  })

  test('R-G-10, J8, PX-07, PX-08: what follows in the same segment is given back byte for byte', async () => {
    const clientHello = hex('16030100a5010000a1ff00')
    const { socket, peer } = connection()
    peer.write(Buffer.concat([binary, clientHello]))
    expect(told(await receiveHeader(socket, required))).toContain(ends)
    expect(Buffer.from(await remainder(socket, peer), 'latin1').equals(clientHello)).toBe(true)
  })

  test('R-G-03, PX-05: nothing is written, and no listener stays', async () => {
    const { socket, peer } = connection()
    const before = socket.eventNames().map((event) => [event, socket.listenerCount(event)])
    const receiving = receiveHeader(socket, required)
    peer.write(line)
    await receiving
    await settle()
    expect(peer.read()).toBeNull()
    expect(socket.eventNames().map((event) => [event, socket.listenerCount(event)])).toEqual(before)
    expect(socket.isPaused()).toBe(true)
  })

  test('is valid until the next read, since nothing overwrites what was received', async () => {
    const { socket, peer } = connection()
    const receiving = receiveHeader(socket, required)
    peer.write(binary)
    const result = await receiving
    if (result.outcome !== 'header') throw new Error(result.outcome)
    expect(result.header.tlvs.find(0x02)?.toString()).toBe('mx.example.org')
  })
})

test('how long a header took to read is told once, for a whole one: its two pieces, and not the waiting between', async () => {
  let clock = 0
  // Each look at the clock is a millisecond later: two looks are a reading of one.
  const now = vi.spyOn(performance, 'now').mockImplementation(() => ++clock)
  const times: number[] = []
  const options = { ...required, onParsed: (ms: number) => times.push(ms) }
  const { socket, peer } = connection()
  peer.write(line.subarray(0, 10))
  const received = receiveHeader(socket, options)
  await vi.advanceTimersByTimeAsync(50)
  clock += 1000
  peer.write(line.subarray(10))
  expect(told(await received)).toMatch(/^header/)
  expect(times).toEqual([2])

  const bad = connection()
  bad.peer.write('PROXY oops\r\n')
  expect(told(await receiveHeader(bad.socket, options))).toContain('PROXY_FAMILY')
  expect(times).toHaveLength(1)
  now.mockRestore()
})

describe('D-07, PX-09, S20: a second header right behind the first', () => {
  test.each([
    ['v1 v1', line, line],
    ['v1 v2', line, binary],
    ['v2 v1', binary, line],
    ['v2 v2', binary, binary],
  ])('R-G-12: %s', async (_name, first, second) => {
    const { socket, peer } = connection()
    peer.write(Buffer.concat([first, second]))
    expect(told(await receiveHeader(socket, { ...required, refusesSecondHeader: true }))).toMatch(/^second-header/)
    expect(await remainder(socket, peer)).toBe(second.toString('latin1'))

    const tolerant = connection()
    tolerant.peer.write(Buffer.concat([first, second]))
    expect(told(await receiveHeader(tolerant.socket, required))).toMatch(/^header/)
    expect(await remainder(tolerant.socket, tolerant.peer)).toBe(second.toString('latin1'))
  })
})

describe('a header that does not come', () => {
  test('PX-03, S18: silence ends at the deadline', async () => {
    const { socket } = connection()
    const receiving = receiveHeader(socket, required)
    await settle()
    vi.advanceTimersByTime(5_000)
    expect(await receiving).toEqual({ outcome: 'timeout', bytesSeen: 0 })
    expect(socket.destroyed).toBe(false)
  })

  test.each([
    ['a text header', ['PROXY', ' TCP4 x'], 'PROXY_ADDRESS', 11],
    ['a family word', ['PROXY T', 'LS'], 'PROXY_FAMILY', 7],
    ['a binary header', ['\r\n\r\n', '\0\r\nQUIT\n', '\x31'], 'PROXY_VERSION', 12],
  ])('R-V1-11: %s that comes in pieces is refused with the byte at fault', async (_name, pieces, code, at) => {
    const { socket, peer } = connection()
    const receiving = receiveHeader(socket, required)
    for (const piece of pieces) {
      peer.write(Buffer.from(piece, 'latin1'))
      await settle()
    }
    expect(vi.getTimerCount()).toBe(0)
    expect(await receiving).toMatchObject({ outcome: 'bad', code, at })
  })

  test('R-G-04, PX-04: bytes do not move the deadline', async () => {
    const { socket, peer } = connection()
    const receiving = receiveHeader(socket, required)
    for (const byte of line.subarray(0, 7)) {
      peer.write(Buffer.of(byte))
      await settle()
      vi.advanceTimersByTime(700)
    }
    vi.advanceTimersByTime(100)
    expect(await receiving).toEqual({ outcome: 'timeout', bytesSeen: 7 })
  })

  test('R-G-04: 30 seconds unless told otherwise', async () => {
    const { socket } = connection()
    const receiving = receiveHeader(socket, { rule: 'required' })
    vi.advanceTimersByTime(29_999)
    await settle()
    expect(vi.getTimerCount()).toBe(1)
    vi.advanceTimersByTime(1)
    expect(await receiving).toMatchObject({ outcome: 'timeout' })
  })

  test.each([
    ['EHLO', text('EHLO x\r\n')],
    ['a ClientHello', hex('160301')],
    ['CRLF', text('\r\n\r\n\r\n')],
    ['a request', text('GET / HTTP/1.1\r\n')],
  ])('PX-02, J10, W5: %s instead', async (_name, bytes) => {
    const { socket, peer } = connection()
    const receiving = receiveHeader(socket, required)
    peer.write(bytes)
    expect(await receiving).toEqual({ outcome: 'missing', firstBytes: escapeBytes(bytes) })
    expect(await remainder(socket, peer)).toBe(bytes.toString('latin1'))
  })

  test('PX-21, S12: a bad one is told with code, place and its first bytes, escaped', async () => {
    const { socket, peer } = connection()
    const receiving = receiveHeader(socket, required)
    peer.write(text(`PROXY TCP4 192.0.2.1 \x1b[31m\r\n${'x'.repeat(100)}`))
    expect(await receiving).toEqual({
      outcome: 'bad',
      code: 'PROXY_ADDRESS',
      at: 21,
      firstBytes: `PROXY TCP4 192.0.2.1 \\x1b[31m\\x0d\\x0a${'x'.repeat(36)}`,
    })
  })

  test('PX-12: one over the bound is refused by its prefix', async () => {
    const { socket, peer } = connection()
    const receiving = receiveHeader(socket, { ...required, maxHeaderBytes: 100 })
    peer.write(v2({ length: 85 }).subarray(0, 16))
    expect(await receiving).toMatchObject({ outcome: 'bad', code: 'PROXY_TOO_LONG' })
  })

  test('PX-22: a line without end is refused at 107 bytes', async () => {
    const { socket, peer } = connection()
    const receiving = receiveHeader(socket, required)
    peer.write(text(`PROXY UNKNOWN ${'x'.repeat(92)}`))
    await settle()
    peer.write(text('x'))
    expect(await receiving).toMatchObject({ outcome: 'bad', code: 'PROXY_TOO_LONG' })
  })
})

describe('PX-31: a peer that goes', () => {
  test.each([
    ['text', line],
    ['binary', binary],
  ])('%s: closes after every byte of the header', async (_name, header) => {
    for (let length = 0; length < header.length; length++) {
      const { socket, peer } = connection()
      const receiving = receiveHeader(socket, required)
      peer.end(header.subarray(0, length))
      expect(await receiving).toEqual({ outcome: 'closed', bytesSeen: length })
    }
  })

  test('resets after every byte of the header', async () => {
    for (let length = 0; length < line.length; length++) {
      const { socket, peer } = connection()
      const receiving = receiveHeader(socket, required)
      peer.write(line.subarray(0, length))
      await settle()
      const reset = new Error('read ECONNRESET')
      socket.destroy(reset)
      expect(await receiving).toEqual({ outcome: 'closed', bytesSeen: length, error: reset })
    }
  })

  test('resets in the same turn in which its header came: no error is left without a listener', async () => {
    const { socket, peer } = connection()
    const receiving = receiveHeader(socket, required)
    socket.once('data', () => socket.destroy(new Error('read ECONNRESET')))
    peer.write(line)
    expect(told(await receiving)).toMatch(/^header/)
  })

  test('was gone before', async () => {
    const { socket } = connection()
    socket.destroy()
    expect(await receiveHeader(socket, required)).toEqual({ outcome: 'closed', bytesSeen: 0 })
  })

  test('had closed before', async () => {
    const { socket, peer } = connection()
    peer.end()
    socket.resume()
    await settle()
    expect(socket.readableEnded).toBe(true)
    expect(await receiveHeader(socket, required)).toEqual({ outcome: 'closed', bytesSeen: 0 })
  })
})

describe('a header that may come', () => {
  test('none after the grace: what comes later is the session’s', async () => {
    const { socket, peer } = connection()
    const receiving = receiveHeader(socket, optional)
    await settle()
    vi.advanceTimersByTime(500)
    expect(await receiving).toEqual({ outcome: 'none' })
    peer.write(line)
    expect(await remainder(socket, peer)).toBe(line.toString('latin1'))
  })

  test('none in the first bytes: they are given back', async () => {
    const { socket, peer } = connection()
    const receiving = receiveHeader(socket, optional)
    peer.write(text('EHLO x\r\n'))
    expect(await receiving).toEqual({ outcome: 'none' })
    expect(await remainder(socket, peer)).toBe('EHLO x\r\n')
  })

  test('comes within the grace', async () => {
    const { socket, peer } = connection()
    const receiving = receiveHeader(socket, { rule: 'optional' })
    vi.advanceTimersByTime(499)
    peer.write(line)
    expect(told(await receiving)).toContain(ends)
  })

  test('has begun within the grace, and has until the deadline', async () => {
    const { socket, peer } = connection()
    const receiving = receiveHeader(socket, optional)
    peer.write(hex(signatureHex))
    await settle()
    vi.advanceTimersByTime(4_999)
    await settle()
    peer.write(binary.subarray(12))
    expect(told(await receiving)).toContain(ends)
  })

  test('has begun and does not end', async () => {
    const { socket, peer } = connection()
    const receiving = receiveHeader(socket, optional)
    peer.write(hex(signatureHex))
    await settle()
    vi.advanceTimersByTime(5_000)
    expect(await receiving).toEqual({ outcome: 'timeout', bytesSeen: 12 })
  })

  test('is bad: no guessing that it was none', async () => {
    const { socket, peer } = connection()
    const receiving = receiveHeader(socket, optional)
    peer.write(text('PROXY TCP9 '))
    expect(await receiving).toMatchObject({ outcome: 'bad', code: 'PROXY_FAMILY' })
  })
})

describe('bytes for the log', () => {
  test('LG-01: are printable ASCII, at most 64 of them', () => {
    expect(escapeBytes(text('a\\b\0\x7f\xff\r\n ~'))).toBe('a\\x5cb\\x00\\x7f\\xff\\x0d\\x0a ~')
    expect(escapeBytes(Buffer.alloc(65, 'a'))).toBe('a'.repeat(64))
  })
})
