import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { mkdtemp, rm } from 'node:fs/promises'
import type { Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openAdmin } from '../../src/supervisor/admin.ts'
import { judgeHealth, type Vitals } from '../../src/supervisor/health.ts'

let dataDir = ''
beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'postern-health-'))
})
afterAll(() => rm(dataDir, { recursive: true }))

async function get(vitals: Partial<Vitals>, path = '/healthz', method = 'GET') {
  const whole = {
    isStopping: false,
    workersReady: 2,
    workersWanted: 2,
    connections: 3,
    dataDir,
    backends: [],
    listenersDown: [],
    ...vitals,
  }
  const admin = await openAdmin({ host: '127.0.0.1', port: 0 }, () => judgeHealth(whole))
  try {
    const response = await fetch(`http://127.0.0.1:${admin.port}${path}`, { method })
    return { status: response.status, body: await response.json() }
  } finally {
    admin.close()
  }
}

describe('OP-08: the health endpoint', () => {
  test('all is well', async () => {
    expect(await get({})).toEqual({
      status: 200,
      body: { status: 'ok', reasons: [], workers: { ready: 2, wanted: 2 }, connections: 3 },
    })
  })

  const rows = [
    ['a worker is missing', { workersReady: 1 }, '1 of 2 workers are ready'],
    ['the gateway stops', { isStopping: true }, 'stopping'],
    ['the store is gone', { dataDir: '/nonexistent' }, 'the store cannot be written: ENOENT'],
  ] as const
  test.each(rows)('%s', async (_what, vitals, reason) => {
    expect(await get(vitals)).toMatchObject({ status: 503, body: { status: 'unavailable', reasons: [reason] } })
  })

  test('RS-01: it outlives every connection that the system cannot give it', async () => {
    let server: Server | undefined
    const onListen = (message: unknown): void => {
      server = (message as { readonly server: Server }).server
    }
    subscribe('tracing:net.server.listen:asyncStart', onListen)
    const admin = await openAdmin({ host: '127.0.0.1', port: 0 }, () => Promise.reject(new Error('not asked')))
    unsubscribe('tracing:net.server.listen:asyncStart', onListen)
    const isHeard = [1, 2].map(() => server?.emit('error', new Error('accept ENFILE')))
    admin.close()
    expect(isHeard).toEqual([true, true])
  })

  test('OP-06: nothing else is answered, and nothing can be changed', async () => {
    expect((await get({}, '/')).status).toBe(404)
    expect((await get({}, '/healthz', 'POST')).status).toBe(405)
  })
})
