import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { expect, test } from 'vitest'
import { isThisMachine, listenersOn, listeningInodes, portsOf } from '../../src/server/listener.ts'
import { cpuNsOf, memoryBytesOf, pssBytes, reapedNs, runNs, treeOf } from '../../src/server/process-tree.ts'

const isLinux = process.platform === 'linux'

test('the first number of a schedstat is the time a thread ran', () => {
  expect(runNs('174831944 125972714 486\n')).toBe(174_831_944)
})

test('children that ended are in the 16th and 17th field of a stat, whatever the process calls itself', () => {
  expect(reapedNs('7 (a ) b (c) S 1 7 7 0 -1 4194560 1 2 3 4 55 66 7 8 20 0')).toBe(15 * 10_000_000)
})

test('the memory of a rollup is its share', () => {
  expect(pssBytes('00400000-7ff0 ---p 0 [rollup]\nRss:  4116 kB\nPss:   915 kB\nPss_Dirty: 603 kB\n')).toBe(915 * 1_024)
  expect(pssBytes('')).toBe(0)
})

test('sockets that listen on a port, of a table of the kernel', () => {
  const table = [
    '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode',
    '   0: 0100007F:0019 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 575 1',
    '   1: 0100007F:0019 0100007F:9000 01 00000000:00000000 00:00000000 00000000     0        0 576 1',
    '   2: 0100007F:001A 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 577 1',
  ].join('\n')
  expect(listeningInodes(table, 25)).toEqual(['575'])
})

test.each([
  ['127.0.0.1', true],
  ['127.9.9.9', true],
  ['localhost', true],
  ['::1', true],
  ['127.example.org', false],
  ['192.0.2.1', false],
])('%s is this machine: %o', (host, is) => {
  expect(isThisMachine(host)).toBe(is)
})

test.runIf(isLinux)('a process that works has run longer, and takes memory', () => {
  const before = cpuNsOf(process.pid)
  const { user } = process.cpuUsage()
  let sum = 0
  // By what it has had of the processor, which on a busy machine is less than the time that passes.
  while (process.cpuUsage().user - user < 20_000) sum += Math.sqrt(sum + 1)
  expect(cpuNsOf(process.pid) - before).toBeGreaterThan(1_000_000)
  expect(memoryBytesOf(process.pid)).toBeGreaterThan(1_000_000)
})

test.runIf(isLinux)('who listens on a port is found, with those below it', async () => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  expect(listenersOn(port)).toEqual([process.pid])
  expect(portsOf([process.pid])).toContain(port)
  await once(server.close(), 'close')
  // Somebody else may have been given the port meanwhile.
  expect(listenersOn(port)).not.toContain(process.pid)
})

test.runIf(isLinux)('a child belongs to the tree while it lives', async () => {
  const child = spawn('cat')
  await once(child, 'spawn')
  expect(treeOf(process.pid)).toContain(child.pid)
  child.stdin.end()
  await once(child, 'exit')
  expect(treeOf(process.pid)).not.toContain(child.pid)
})
