import { readFileSync } from 'node:fs'
import { duplexPair } from 'node:stream'
import { expect, test } from 'vitest'
import { MemoryStore } from './memory-store.ts'
import { serve } from './readme-example.ts'

function read(path: string): string {
  return readFileSync(new URL(path, import.meta.url), 'utf8')
}

test('the example of the README is the one that is checked here', () => {
  const example = /```ts\n([^]*?)```/.exec(read('../README.md'))?.[1]
  expect(example).toBe(read('readme-example.ts').replace("'../src/index.ts'", "'@postern/imap'"))
})

test('the example greets', async () => {
  const [ours, theirs] = duplexPair()
  const address = { remoteAddress: '203.0.113.7', remotePort: 45_678, localAddress: '192.0.2.1', localPort: 143 }
  const server = serve(new MemoryStore(), { verify: async () => ({ outcome: 'denied' }) })
  server.emit('connection', Object.assign(ours, address))
  const [greeting] = (await theirs.take(1).toArray()) as Buffer[]
  expect(greeting?.toString()).toMatch(/^\* OK \[CAPABILITY IMAP4rev1 .* LOGINDISABLED\] imap\.example\.org ready\r\n$/)
})
