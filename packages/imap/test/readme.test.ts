import { readFileSync } from 'node:fs'
import { duplexPair } from 'node:stream'
import { expect, test } from 'vitest'
import { MemoryStore } from './memory-store.ts'
import { serve } from './readme-example.ts'

function read(path: string): string {
  return readFileSync(new URL(path, import.meta.url), 'utf8')
}

test('the examples of the README are the ones that are checked here, and the server has thirty lines', () => {
  const examples = [...read('../README.md').matchAll(/```ts\n([^]*?)```/g)].map(([, code]) => code)
  const files = ['readme-server-example.ts', 'readme-example.ts']
  expect(examples).toEqual(files.map((file) => read(file).replace("'../src/index.ts'", "'@postern/imap'")))
  expect((examples[0] ?? '').trimEnd().split('\n').length).toBeLessThanOrEqual(30)
})

test('the example greets', async () => {
  const [ours, theirs] = duplexPair()
  const address = { remoteAddress: '203.0.113.7', remotePort: 45_678, localAddress: '192.0.2.1', localPort: 143 }
  const server = serve(new MemoryStore(), { verify: async () => ({ outcome: 'denied' }) })
  server.emit('connection', Object.assign(ours, address))
  const [greeting] = (await theirs.take(1).toArray()) as Buffer[]
  expect(greeting?.toString()).toMatch(/^\* OK \[CAPABILITY IMAP4rev1 .* LOGINDISABLED\] imap\.example\.org ready\r\n$/)
})
