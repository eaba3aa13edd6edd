import { on } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { duplexPair } from 'node:stream'
import { expect, test } from 'vitest'
import { server } from './readme-example.ts'

test('the README shows the example that runs here', () => {
  const readme = readFileSync(join(import.meta.dirname, '../README.md'), 'utf8')
  const example = readFileSync(join(import.meta.dirname, 'readme-example.ts'), 'utf8')
  expect(readme).toContain(`\`\`\`ts\n${example.replace('../src/index.ts', '@postern/smtp')}\n`)
})

test('and it takes a message', async () => {
  const [client, socket] = duplexPair()
  const replies = on(client, 'data') as AsyncIterableIterator<unknown[]>
  const nextReply = async (): Promise<string> => String((await replies.next()).value?.[0])
  server.emit('connection', Object.assign(socket, { remoteAddress: '::ffff:192.0.2.7', localAddress: '::1' }))
  expect(await nextReply()).toMatch(/^220 mx\.example /)
  client.write('EHLO client.example\r\n')
  expect(await nextReply()).toContain('Hello client.example [192.0.2.7]')
  client.write('MAIL FROM:<>\r\nRCPT TO:<ann@example.org>\r\nDATA\r\n')
  expect(await nextReply()).toMatch(/354 /)
  client.write('hello\r\n.\r\nQUIT\r\n')
  expect(await nextReply()).toMatch(/^250 2\.0\.0 Thank you for \d+ bytes\r\n221 /)
  client.destroy()
})
