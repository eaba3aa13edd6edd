import { once } from 'node:events'
import { connect } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { Client } from '../kit/acceptor-bench.ts'
import { GatewayProcess } from '../kit/gateway-process.ts'

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

async function isRefused(port: number): Promise<boolean> {
  const socket = connect({ port, host: '127.0.0.1' })
  try {
    await once(socket, 'connect')
    return false
  } catch {
    return true
  } finally {
    socket.destroy()
  }
}

test('PR-01: a worker that is killed is replaced within seconds, and connections that wait meanwhile are served', async () => {
  await using gateway = new GatewayProcess(1)
  const port = await gateway.port()
  const worker = gateway.worker()
  process.kill(worker, 'SIGKILL')
  using waiting = new Client(port)
  expect(await waiting.hears(/\r\n/)).toMatch(/^220 mx\.example\.org /)
  expect(gateway.workers()).not.toContain(worker)
})

test('PR-03: a worker that hangs is killed and replaced', async () => {
  await using gateway = new GatewayProcess(1)
  const port = await gateway.port()
  const worker = gateway.worker()
  process.kill(worker, 'SIGSTOP')
  using waiting = new Client(port)
  await gateway.logged('worker.hung')
  expect(await waiting.hears(/\r\n/)).toMatch(/^220 /)
  expect(isAlive(worker)).toBe(false)
})

test('PR-08: when the supervisor is killed its workers take leave, and nothing holds the port', async () => {
  await using gateway = new GatewayProcess(2)
  const port = await gateway.port()
  const workers = gateway.workers()
  using client = new Client(port)
  await client.hears(/^220 /)
  gateway.child.kill('SIGKILL')
  expect(await client.ends()).toMatch(/\r\n421 4\.3\.2 .*\r\n$/)
  while (workers.some(isAlive)) await delay(20)
  expect(await isRefused(port)).toBe(true)
})

test('SIGTERM ends idle sessions with 421 and the gateway with status 0; signals to workers are not theirs', async () => {
  await using gateway = new GatewayProcess(2)
  const port = await gateway.port()
  for (const worker of gateway.workers()) process.kill(worker, 'SIGTERM')
  using client = new Client(port)
  await client.hears(/^220 /)
  gateway.child.kill('SIGTERM')
  gateway.child.kill('SIGTERM')
  expect(await client.ends()).toMatch(/\r\n421 4\.3\.2 .*\r\n$/)
  expect(await gateway.ended()).toBe(0)
})

test('a second SIGTERM later ends everything at once', async () => {
  await using gateway = new GatewayProcess(1)
  const port = await gateway.port()
  using client = new Client(port)
  await client.say('EHLO client.example\r\nMAIL FROM:<ann@example.org>\r\n').hears(/250 2\.1\.0/)
  gateway.child.kill('SIGTERM')
  await gateway.logged('gateway.stopping')
  await delay(600)
  gateway.child.kill('SIGTERM')
  expect(await gateway.ended()).toBe(1)
})
