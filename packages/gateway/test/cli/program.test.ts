import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { postern } from './run.ts'

test('the help names every command', async () => {
  const { status, stdout } = await postern(['--help'])
  expect(status).toBe(0)
  for (const command of ['serve', 'check', 'inspect', 'probe', 'user'])
    expect(stdout).toMatch(new RegExp(`^  ${command} `, 'm'))
})

test.each(['serve', 'check', 'inspect', 'probe', 'user', 'user add'])('the help of %s', async (command) => {
  const { status, stdout, stderr } = await postern([...command.split(' '), '--help'])
  expect(status).toBe(0)
  expect(stdout).toMatch(new RegExp(`^Usage: postern ${command} `))
  expect(stderr).toBe('')
})

test.each([
  ['no command', [], /Usage: postern/],
  ['an unknown command', ['inspct'], /Did you mean inspect\?/],
  ['an unknown account command', ['user', 'delete'], /unknown command/],
])('%s is a wrong use', async (_, args, says) => {
  const { status, stdout, stderr } = await postern(args)
  expect(status).toBe(64)
  expect(stdout).toBe('')
  expect(stderr).toMatch(says)
})

test('serve refuses a configuration that cannot be used, with all that is wrong', async () => {
  const ran = await postern(['serve', '-c', '/nowhere/postern.toml'], { cwd: '/somewhere' })
  expect(ran).toEqual({
    status: 78,
    stdout: '',
    stderr: '/nowhere/postern.toml: expected a configuration file that can be read; found no such file\n',
  })
})

const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url))

test('as a process: standard input, output and exit status', async () => {
  const child = spawn(process.execPath, ['--conditions=@postern/source', main, 'inspect', '--json', '-'])
  child.stdin.end('PROXY UNKNOWN\r\n')
  let output = ''
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
  const [status] = (await once(child, 'close')) as [number]
  expect(JSON.parse(output)).toMatchObject({ status: 'ok', version: 1, headerLength: 15 })
  expect(status).toBe(0)
})

test('as a process: a reader that goes away ends it without a complaint', async () => {
  const child = spawn(process.execPath, ['--conditions=@postern/source', main, 'inspect', '--lines', '-'])
  let complaint = ''
  child.stderr.on('data', (chunk: Buffer) => (complaint += chunk.toString()))
  child.stdin.on('error', () => {})
  child.stdout.once('data', () => child.stdout.destroy())
  const lines = '50524f585920554e4b4e4f574e0d0a\n'.repeat(1000)
  const more = (): void => void (child.stdin.write(lines) && setImmediate(more))
  child.stdin.on('drain', more)
  more()
  const [status] = (await once(child, 'close')) as [number | null]
  expect(complaint).toBe('')
  expect(status).toBe(0)
})
