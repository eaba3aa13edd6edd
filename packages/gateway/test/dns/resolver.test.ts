import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { DnsResolver } from '../../src/dns/resolver.ts'
import { startStubDns } from '../kit/stub-dns.ts'

test('DN-07: a hundred questions that nobody answers keep no file waiting', async () => {
  const names = Array.from({ length: 100 }, (_, index) => `host-${index}.example`)
  const server = await startStubDns(Object.fromEntries(names.map((name) => [name, ['silence'] as const])))
  try {
    const resolver = new DnsResolver({ servers: [server.address], timeoutMs: 1_000, tries: 1 }, () => {}, false)
    let answered = 0
    const answers = names.map(async (name) => {
      const answer = await resolver.addresses(name, 4)
      answered++
      return answer.status
    })
    // Lookups by the system's own resolver would hold all threads that files are read by until they time out.
    for (let n = 0; n < 5; n++) expect((await readFile(import.meta.filename)).length).toBeGreaterThan(0)
    expect(answered).toBe(0)
    expect(new Set(await Promise.all(answers))).toEqual(new Set(['unknown']))
    expect(server.questions.length).toBeGreaterThanOrEqual(names.length)
  } finally {
    server.close()
  }
})
