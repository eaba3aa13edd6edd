import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createReadStream, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test, vi } from 'vitest'
import { hostOf, notifySystemd, passedSockets } from '../../src/supervisor/systemd.ts'

describe('sockets that systemd has bound', () => {
  // As a machine of this byte order writes them into /proc/net/tcp and tcp6.
  test.each([
    ['0100007F', '127.0.0.1'],
    ['00000000', '0.0.0.0'],
    ['00000000000000000000000000000000', '::'],
    ['00000000000000000000000001000000', '::1'],
    ['B80D0120000000000000000001000000', '2001:db8::1'],
  ])('the kernel’s %s is %s', (words, host) => {
    expect(hostOf(words)).toBe(host)
  })

  test('are for the process of this number, and for none that it starts', () => {
    const environment = { LISTEN_PID: String(process.pid + 1), LISTEN_FDS: '1', LISTEN_FDNAMES: 'mx', PATH: '/bin' }
    expect(passedSockets([], 1, environment)).toEqual([])
    expect(environment).toEqual({ PATH: '/bin' })
  })

  test('one that is the address of no listener is an error: clients would wait in it for ever', async () => {
    const program = `
      const { passedSockets } = await import(process.argv[1])
      const bind = { host: '127.0.0.1', port: Number(process.argv[2]) }
      const environment = { LISTEN_PID: String(process.pid), LISTEN_FDS: '1' }
      try {
        const [held] = passedSockets([{ listener: 'mx', bind }], 3, environment)
        console.log(held.listener, held.port === bind.port, held.fdsOf(0), held.fdsOf(2))
      } catch (error) {
        console.log(error.message)
      }`
    const file = new URL('../../src/supervisor/systemd.ts', import.meta.url).href
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    const { _handle: handle } = server as unknown as { readonly _handle: { readonly fd: number } }
    const ask = async (asked: number): Promise<string> => {
      const args = ['--conditions=@postern/source', '--input-type=module', '-e', program, file, String(asked)]
      const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit', handle.fd] })
      return (await child.stdout!.toArray()).join('').trim()
    }
    expect(await ask(port)).toBe('mx true [ 3 ] [ 3 ]')
    expect(await ask(port + 1)).toBe(
      `systemd passed a socket for 127.0.0.1:${port}, which is the \`bind\` of no listener`,
    )
    server.close()
  })
})

test('readiness is told by systemd’s own command, with the process to watch', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'postern-notify-'))
  const { promise, resolve } = Promise.withResolvers<string>()
  // A named pipe: reading it waits for the command, however slow the machine is.
  const said = join(folder, 'said')
  execFileSync('mkfifo', [said])
  createReadStream(said).on('data', (chunk) => resolve(chunk.toString()))
  writeFileSync(join(folder, 'systemd-notify'), `#!/bin/sh\necho "$NOTIFY_SOCKET $*" > ${said}\n`, { mode: 0o755 })
  vi.stubEnv('PATH', `${folder}:${process.env['PATH']}`)
  vi.stubEnv('NOTIFY_SOCKET', '/run/systemd/notify')
  notifySystemd('READY=1')
  expect(await promise).toBe(`/run/systemd/notify --pid=${process.pid} READY=1\n`)
  vi.unstubAllEnvs()
  rmSync(folder, { recursive: true })
})
