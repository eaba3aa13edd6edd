import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { temporaryDirectory } from '../config/temporary-directory.ts'
import { postern } from './run.ts'

const lines = [
  { event: 'gateway.ready' },
  { event: 'proxy.accepted', id: 'aaaaaaaaaaaaaaaa', uniqueId: 'c0ffee', client: '203.0.113.7' },
  { event: 'connection.open', id: 'bbbbbbbbbbbbbbbb' },
  { event: 'smtp.transaction', id: 'aaaaaaaaaaaaaaaa', transaction: 'aaaaaaaaaaaaaaaa.1' },
  { event: 'relay.failed', transaction: 'aaaaaaaaaaaaaaaa.1' },
  { event: 'relay.failed', transaction: 'bbbbbbbbbbbbbbbb.1' },
  { event: 'connection.close', id: 'aaaaaaaaaaaaaaaa' },
]
const log = [
  '> postern start',
  ...lines.map((line) => JSON.stringify({ level: 'info', time: 0, ...line })),
  '{"cut',
].join('\n')
const story = ['proxy.accepted', 'smtp.transaction', 'relay.failed', 'connection.close']

test.each([
  ['its id', 'aaaaaaaaaaaaaaaa'],
  ['one of its transactions', 'aaaaaaaaaaaaaaaa.1'],
  ['the id that a balancer gave it', 'c0ffee'],
])('the story of a connection is found by %s', async (_what, id) => {
  const { status, stdout } = await postern(['logs', id, '--json'], { stdin: [log] })
  const events = stdout
    .trimEnd()
    .split('\n')
    .map((line) => (JSON.parse(line) as { readonly event: string }).event)
  expect({ status, events }).toEqual({ status: 0, events: story })
})

test('for people, from a file', async () => {
  const cwd = await temporaryDirectory()
  await writeFile(join(cwd, 'postern.log'), log)
  const { stdout } = await postern(['logs', 'bbbbbbbbbbbbbbbb', 'postern.log'], { cwd })
  expect(stdout).toBe(
    '00:00:00.000 INFO  connection.open id=bbbbbbbbbbbbbbbb\n' +
      '00:00:00.000 INFO  relay.failed transaction=bbbbbbbbbbbbbbbb.1\n',
  )
})

test('nobody of this name is status 1, and no file is status 74', async () => {
  expect(await postern(['logs', 'cccccccccccccccc'], { stdin: [log] })).toMatchObject({ status: 1, stdout: '' })
  const missing = await postern(['logs', 'cccccccccccccccc', 'nothing.log'])
  expect(missing).toEqual({ status: 74, stdout: '', stderr: 'postern: nothing.log: no such file\n' })
})
