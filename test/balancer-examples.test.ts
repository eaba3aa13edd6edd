// examples/ has what `postern balancer` prints, so an example cannot grow old. After a change of the generator:
// ./node_modules/.bin/vitest run --project tree balancer-examples -u
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { PassThrough, Readable, Writable } from 'node:stream'
import { expect, test } from 'vitest'
import { runCommandLine } from '../packages/gateway/src/cli/program.ts'

const examples = join(import.meta.dirname, '../examples')
const fleet = ['--gateway', '10.0.0.11', '--gateway', '10.0.0.12']

test.each([
  ['haproxy', 'haproxy/haproxy.cfg', ['-c', 'haproxy/postern.toml']],
  ['nginx', 'nginx/nginx.conf', ['-c', 'nginx/postern.toml']],
  ['envoy', 'balancers/envoy.yaml', ['-c', 'haproxy/postern.toml', ...fleet]],
  ['traefik', 'balancers/traefik.yaml', ['-c', 'haproxy/postern.toml', ...fleet]],
  ['caddy', 'balancers/caddy.json', ['-c', 'haproxy/postern.toml', ...fleet]],
  ['aws-nlb', 'balancers/aws-nlb.yaml', ['-c', 'haproxy/postern.toml', ...fleet]],
])('X6: %s: examples/%s', async (kind, file, args) => {
  await expect(await printed(kind, args)).toMatchFileSnapshot(join(examples, file))
})

test('X6: haproxy: examples/compose/haproxy.cfg, and behind it what Dovecot needs', async () => {
  const gateways = ['--gateway', '172.28.0.11', '--gateway', '172.28.0.12', '--listen', 'mx=0.0.0.0:2525']
  const text = await printed('haproxy', ['-c', 'compose/postern.toml', ...gateways])
  expect(readFileSync(join(examples, 'compose/haproxy.cfg'), 'utf8').slice(0, text.length)).toBe(text)
})

async function printed(kind: string, args: readonly string[]): Promise<string> {
  let text = ''
  const stdout = new Writable({
    write(chunk: Buffer, _encoding, done) {
      text += chunk.toString()
      done()
    },
  })
  const terminal = { stdin: Readable.from([]), stdout, stderr: new PassThrough().resume(), cwd: examples }
  expect(await runCommandLine(['balancer', kind, ...args], terminal)).toBe(0)
  return text
}
