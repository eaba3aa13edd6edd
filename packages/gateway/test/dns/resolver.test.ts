import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { decode, encode } from 'dns-packet'
import { expect, test } from 'vitest'
import { DnsResolver } from '../../src/dns/resolver.ts'

const servFail = 2

test('DN-07: a hundred questions that nobody answers yet keep no file waiting', async () => {
  const held: (() => void)[] = []
  const server = createSocket('udp4')
  server.on('message', (message, { address, port }) => {
    const reply = encode({ ...decode(message), type: 'response', flags: servFail })
    held.push(() => server.send(reply, port, address))
  })
  server.bind(0, '127.0.0.1')
  await once(server, 'listening')
  try {
    const servers = [`127.0.0.1:${server.address().port}`]
    const resolver = new DnsResolver({ servers, timeoutMs: 30_000, tries: 1 }, () => {}, false)
    let answered = 0
    const answers = Array.from({ length: 100 }, async (_, index) => {
      const answer = await resolver.addresses(`host-${index}.example`, 4)
      answered++
      return answer.status
    })
    // Lookups by the system's own resolver would hold all threads that files are read by.
    for (let n = 0; n < 5; n++) expect((await readFile(import.meta.filename)).length).toBeGreaterThan(0)
    expect(answered).toBe(0)
    await expect.poll(() => held.length).toBe(100)
    for (const answer of held) answer()
    expect(new Set(await Promise.all(answers))).toEqual(new Set(['unknown']))
  } finally {
    server.close()
  }
})
