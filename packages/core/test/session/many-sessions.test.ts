// What one session leaves behind is nothing, or a process that serves for weeks ends by it.
import { duplexPair } from 'node:stream'
import { expect, test } from 'vitest'
import { endpoint, runSession, type Connection } from '@postern/core'

const peer = endpoint('192.0.2.1', 40_000)

test('JS-08: ten thousand sessions leave no timer and no listener behind', async () => {
  const warnings: string[] = []
  const warn = ({ name }: Error): void => void warnings.push(name)
  process.on('warning', warn)
  const before = timers()
  const gone = new AbortController()
  try {
    for (let batch = 0; batch < 100; batch++) await Promise.all(Array.from({ length: 100 }, () => session(gone.signal)))
  } finally {
    process.off('warning', warn)
  }
  // The test runner has some of its own, now and then.
  expect(timers() - before).toBeLessThan(100)
  expect(warnings).toEqual([])
})

function timers(): number {
  return process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length
}

async function session(signal: AbortSignal): Promise<void> {
  const [stream, client] = duplexPair()
  const connection: Connection = {
    id: '0123456789abcdef',
    listener: { name: 'mx', protocol: 'smtp', tls: 'starttls' },
    identity: { origin: 'direct', client: peer, peer, destination: peer, trust: { rule: 'absent' } },
    security: { kind: 'cleartext' },
    stream,
    signal,
  }
  const read = { next: 'read', patienceMs: 3_600_000 } as const
  const quit = { next: 'close', reason: 'quit' } as const
  const { ended } = runSession(
    connection,
    ({ output }) => ({
      start: () => read,
      receive(bytes) {
        output.write(bytes)
        return bytes.includes('q') ? quit : read
      },
      secured: () => read,
      woken: () => read,
      timedOut: () => quit,
      stopping: () => quit,
      failed: () => {},
      ended: () => {},
    }),
    { maxSessionMs: 3_600_000 },
  )
  client.resume()
  client.write('a')
  client.end('q')
  await ended
  for (const event of ['data', 'close', 'drain']) expect(stream.listenerCount(event)).toBeLessThanOrEqual(1)
}
