import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { temporaryDirectory } from '../config/temporary-directory.ts'
import { postern } from './run.ts'

async function check(
  text: string,
): Promise<{ readonly status: number; readonly stdout: string; readonly stderr: string }> {
  const cwd = await temporaryDirectory()
  await writeFile(join(cwd, 'postern.toml'), text)
  return postern(['check', '-c', 'postern.toml'], { cwd })
}

const right = `[server]
hostname = "mx.example"
workers = 2
[listener.mx]
protocol = "smtp"
bind = ["0.0.0.0:25", "[::]:25"]
tls = "off"
`

test('what can be used is summed up, as it was understood', async () => {
  expect(await check(right)).toEqual({
    status: 0,
    stdout:
      'the configuration can be used: mx.example, 2 workers\n  mx: smtp on 0.0.0.0:25, [::]:25; TLS off; PROXY header off\n',
    stderr: '',
  })
})

test('S3: trust of everybody is warned of', async () => {
  const { status, stdout } = await check(`${right}[proxy]\ntrusted-networks = ["0.0.0.0/0"]\n`)
  expect(status).toBe(0)
  expect(stdout).toMatch(/^postern\.toml:9: proxy\.trusted-networks\[0\]: warning: 0\.0\.0\.0\/0 trusts everybody/)
})

test('all problems are told, each with its line', async () => {
  expect(await check('[server]\nhostnam = "x"\n[listener.mx]\nprotocol = "smtp"\nbind = "25"\ntls = "off"\n')).toEqual({
    status: 1,
    stdout: `postern.toml:2: server.hostnam: expected a key that [server] knows; found "hostnam" (did you mean "hostname"?)
postern.toml:5: listener.mx.bind: expected an IP address and a port, as in "0.0.0.0:25", "[::]:25" or "127.0.0.1"; found "25"
2 problems
`,
    stderr: '',
  })
})

test('a file that is not there is a problem, and no stack is shown', async () => {
  const { status, stdout, stderr } = await postern(['check', '-c', '/nowhere/postern.toml'], { cwd: '/somewhere' })
  expect(status).toBe(1)
  expect(stdout).toBe(
    '/nowhere/postern.toml: expected a configuration file that can be read; found no such file\n1 problem\n',
  )
  expect(stderr).toBe('')
})

test('without a file it is a wrong use', async () => {
  expect(await postern(['check'])).toMatchObject({
    status: 64,
    stdout: '',
    stderr: expect.stringContaining('--config'),
  })
})
