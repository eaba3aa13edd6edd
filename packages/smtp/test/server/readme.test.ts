import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test, vi } from 'vitest'
import { Client } from './client.ts'
import { createDropBox } from './readme-server-example.ts'

test('the README shows the example that runs here, of thirty lines', () => {
  const readme = readFileSync(join(import.meta.dirname, '../../README.md'), 'utf8')
  const example = readFileSync(join(import.meta.dirname, 'readme-server-example.ts'), 'utf8')
  expect(readme).toContain(`\`\`\`ts\n${example.replace('../../src/index.ts', '@postern/smtp')}\`\`\`\n`)
  expect(example.trimEnd().split('\n').length).toBeLessThanOrEqual(30)
})

test('and it keeps messages, refuses what it says, and leaves no half of one', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'postern-drop-'))
  vi.spyOn(console, 'log').mockImplementation(() => {})
  const server = createDropBox(folder)
  onTestFinished(async () => {
    vi.restoreAllMocks()
    await server.close(0)
    rmSync(folder, { recursive: true })
  })
  const { port } = await server.listen(0, '127.0.0.1')
  using client = new Client(port)
  await client.reply()
  await client.ask('EHLO client.example')
  expect(await client.ask('MAIL FROM:<a@spam.example>')).toBe('550 5.7.1 We know you\r\n')
  await client.ask('MAIL FROM:<>')
  expect(await client.ask('RCPT TO:<a@elsewhere.example>')).toBe('550 5.1.1 No such mailbox\r\n')
  await client.ask('RCPT TO:<ann@example.org>')
  await client.ask('DATA')
  expect(await client.ask('hello\r\n.')).toMatch(/^250 /)
  const [file = ''] = readdirSync(folder)
  expect(readFileSync(join(folder, file), 'utf8')).toMatch(/\r\nhello\r\n$/)

  for (const line of ['MAIL FROM:<>', 'RCPT TO:<ann@example.org>', 'DATA']) await client.ask(line)
  client.say('half')
  client[Symbol.dispose]()
  await server.close()
  expect(readdirSync(folder)).toEqual([file])
})
