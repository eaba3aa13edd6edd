import { expect, test } from 'vitest'
import { selectedInbox } from '../dialogue.ts'
import { MemoryStore } from '../memory-store.ts'

/** What FETCH PREVIEW tells of a message. */
async function preview(...lines: readonly string[]): Promise<string> {
  const store = new MemoryStore()
  store.put('ann@example.org', 'INBOX', Buffer.from(lines.join('\r\n'), 'utf8').toString('latin1'))
  const session = await selectedInbox({ store })
  const answer = Buffer.from(await session.ask('a FETCH 1 (PREVIEW)'), 'latin1').toString('utf8')
  const found = /^\* 1 FETCH \(PREVIEW (?:"([^]*)"|\{\d+\}\r\n([^]*))\)\r\na OK /.exec(answer)
  return found?.[1] ?? found?.[2] ?? answer
}

test.for<[name: string, lines: readonly string[], text: string]>([
  ['plain text', ['', 'Hello,', '', '  this is \t it.'], 'Hello, this is it.'],
  ['no text', ['Content-Type: image/png', '', 'x'], ''],
  ['nothing', [''], ''],
  ['a charset', ['Content-Type: text/plain; charset=utf-8', '', 'Grüße 😀'], 'Grüße 😀'],
  ['an encoding', ['Content-Transfer-Encoding: base64', '', 'SGVsbG8='], 'Hello'],
  ['quotations', ['', '> you said', 'I say', '> more'], 'I say'],
  ['quotations alone', ['', '> you said'], '> you said'],
  [
    'plain text before HTML, attachments aside',
    [
      'Content-Type: multipart/mixed; boundary=b',
      '',
      '--b',
      'Content-Type: text/html',
      '',
      '<p>html</p>',
      '--b',
      'Content-Type: text/plain',
      'Content-Disposition: attachment',
      '',
      'attached',
      '--b',
      'Content-Type: text/plain',
      '',
      'said',
      '--b--',
    ],
    'said',
  ],
  [
    'HTML',
    [
      'Content-Type: text/html',
      '',
      '<html><head><title>T</title></head><style>p { color: red }</style><!-- no > --><p class="a>b">One &amp; two&nbsp;&#8364; &#x20AC; &lt;b&gt; &unknown; &#0;</p><br>three',
    ],
    'b">One & two € € <b> &unknown; &#0; three',
  ],
  ['HTML that never ends', ['Content-Type: text/html', '', 'One<style>p {'], 'One'],
  ['a tag that never ends', ['Content-Type: text/html', '', 'One<p'], 'One'],
  ['a comment that never ends', ['Content-Type: text/html', '', 'One<!-- two'], 'One'],
])('PREVIEW of %s (RFC 8970)', async ([, lines, text]) => {
  expect(await preview(...lines)).toBe(text)
})

test('a preview has 200 characters at most, and none is cut', async () => {
  expect(await preview('Content-Type: text/plain; charset=utf-8', '', '😀'.repeat(300))).toBe('😀'.repeat(200))
})

test('only the beginning of a large message is read, and PREVIEW sets no flag', async () => {
  const store = new MemoryStore()
  store.put('ann@example.org', 'INBOX', `Subject: x\r\n\r\nfirst\r\n${'x'.repeat(3_000_000)}`)
  const session = await selectedInbox({ store })
  expect(await session.ask('a FETCH 1 (PREVIEW FLAGS)')).toMatch(
    /^\* 1 FETCH \(PREVIEW "first x{194}" FLAGS \(\\Recent\)\)\r\n/,
  )
})

test('PREVIEW may be LAZY, and modifiers of FETCH may follow it', async () => {
  const store = new MemoryStore()
  store.put('ann@example.org', 'INBOX', '\r\nHi')
  const session = await selectedInbox({ store })
  expect(await session.ask('a FETCH 1 PREVIEW (LAZY)')).toBe('* 1 FETCH (PREVIEW "Hi")\r\na OK Fetch completed\r\n')
  expect(await session.ask('b FETCH 1 (PREVIEW (LAZY) UID)')).toMatch(/^\* 1 FETCH \(PREVIEW "Hi" UID 1\)/)
  expect(await session.ask('c FETCH 1 PREVIEW (PARTIAL 1:1)')).toMatch(/^\* 1 FETCH \(PREVIEW "Hi"\)/)
  expect(await session.ask('d FETCH 1 PREVIEW (EAGER)')).toMatch(/^d BAD /)
})

test('IM-15: markup made to be slow is read at once', async () => {
  const started = process.threadCpuUsage()
  for (const piece of ['<style>', '<!--', '&#', '<', '&amp'])
    await preview('Content-Type: text/html', '', piece.repeat(16_000))
  expect(process.threadCpuUsage(started).user).toBeLessThan(2_000_000)
})
