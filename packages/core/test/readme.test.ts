import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import type { AddressInfo, Server } from 'node:net'
import { join } from 'node:path'
import { afterAll, expect, test, vi } from 'vitest'
import { close, exchange } from './kit/loopback.ts'

/*
 * The examples of the README run as they stand there, but for their port.
 */
const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8')
const examples = Array.from(readme.matchAll(/^```ts\n(.*?)^```$/gms), ([, code = '']) => code)
const folder = mkdtempSync(join(import.meta.dirname, '.readme-'))
afterAll(() => rmSync(folder, { recursive: true }))

async function run(name: string, code: string): Promise<Record<string, unknown>> {
  const file = join(folder, `${name}.ts`)
  writeFileSync(file, code)
  return (await import(file)) as Record<string, unknown>
}

test('every example is run here', () => {
  expect(examples).toHaveLength(3)
})

test('a server behind the front, and a connection to it', async () => {
  const [before = '', , sending = ''] = examples
  const { server } = (await run('server', `${before.replace('8080', '0')}\nexport { server }`)) as { server: Server }
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const [, command = ''] = /printf '(.*)' \| nc/.exec(readme) ?? []
  const sent = command.replaceAll(String.raw`\r\n`, '\r\n')
  expect(await exchange(port, Buffer.from(sent))).toContain('203.0.113.7 dialled 192.0.2.10:80')

  const printed = vi.spyOn(process.stdout, 'write').mockReturnValue(true)
  await run('send', sending.replace('8080', String(port)))
  await expect.poll(() => printed.mock.calls.map(([chunk]) => String(chunk)).join('')).toContain('203.0.113.7 dialled')
  printed.mockRestore()
  await close(server)
})

test('bytes that are read', async () => {
  const printed = vi.spyOn(console, 'log').mockReturnValue(undefined)
  await run('parse', examples[1] ?? '')
  expect(printed).toHaveBeenCalledWith('203.0.113.7', 0, 'EHLO client.example\r\n')
  printed.mockRestore()
})
