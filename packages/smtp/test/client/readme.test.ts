import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { createFront } from './readme-relay-example.ts'
import { ScriptedBackend } from './scripted-backend.ts'

test('the README shows the relay that runs here', () => {
  const readme = readFileSync(join(import.meta.dirname, '../../README.md'), 'utf8')
  const example = readFileSync(join(import.meta.dirname, 'readme-relay-example.ts'), 'utf8')
  expect(readme).toContain(`\`\`\`ts\n${example.replace('../../src/index.ts', '@postern/smtp')}\`\`\``)
})

test('and it passes on what the backend says', async () => {
  const backend = await ScriptedBackend.start(`
    S: 220 inside.example
    C: EHLO mx.example
    S: 250-inside.example
    S: 250-PIPELINING
    S: 250 XCLIENT ADDR HELO
    C: XCLIENT HELO=client.example ADDR=127.0.0.1
    S: 220 inside.example
    C: EHLO mx.example
    S: 250-inside.example
    S: 250 PIPELINING
    C: MAIL FROM:<>
    C: RCPT TO:<ann@example.org>
    S: 250 2.1.0 OK
    S: 250 2.1.5 OK
    C: RCPT TO:<eve@example.org>
    S: 550 5.1.1 no eve here
    C: DATA
    S: 354 go on
    C: Received: from client.example ([127.0.0.1])
    D:
    D:
    D:
    D:
    C: hello
    C: ..
    C: .
    S: 250 2.0.0 queued as 1A2B3C
    C: QUIT
    S: 221 bye
  `)
  const front = createFront({ host: '127.0.0.1', port: backend.port }).listen(0, '127.0.0.1')
  await once(front, 'listening')
  onTestFinished(() => {
    front.close()
  })

  const client = connect((front.address() as AddressInfo).port, '127.0.0.1')
  let said = ''
  client.on('data', (bytes) => (said += bytes.toString()))
  client.write('EHLO client.example\r\n')
  client.write(
    'MAIL FROM:<>\r\nRCPT TO:<ann@example.org>\r\nRCPT TO:<eve@example.org>\r\nRCPT TO:<x@elsewhere>\r\nDATA\r\n',
  )
  while (!said.includes('354 ')) await once(client, 'data')
  client.end('hello\r\n..\r\n.\r\nQUIT\r\n')
  await once(client, 'close')
  await backend.ended()
  expect(backend.surprises).toEqual([])
  expect(said).toContain('\r\n550 5.1.1 no eve here\r\n550 5.7.1 Relay access denied\r\n354 ')
  expect(said).toContain('\r\n250 2.0.0 queued as 1A2B3C\r\n221 ')
})
