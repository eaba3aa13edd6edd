// examples/ has what `postern balancer` prints, so an example cannot grow old. After a change of the generator:
// ./node_modules/.bin/vitest run --project tree balancer-examples -u
import { join } from 'node:path'
import { PassThrough, Readable, Writable } from 'node:stream'
import { expect, test } from 'vitest'
import { runCommandLine } from '../packages/gateway/src/cli/program.ts'

/** The first of them loads the libraries of the command line, which a busy machine takes its time for. */
const patienceMs = 30_000

const examples = join(import.meta.dirname, '../examples')
const inside = ['--gateway', '172.28.0.11', '--gateway', '172.28.0.12']
const mapped = ['--listen', 'mx=0.0.0.0:2525', '--listen', 'imaps=0.0.0.0:2993']
const fleet = ['--gateway', '10.0.0.11', '--gateway', '10.0.0.12']

test.each([
  ['haproxy', 'haproxy/haproxy.cfg', ['-c', 'haproxy/postern.toml']],
  ['haproxy', 'compose/haproxy.cfg', ['-c', 'compose/postern.toml', ...inside, ...mapped]],
  ['nginx', 'nginx/nginx.conf', ['-c', 'nginx/postern.toml']],
  ['envoy', 'balancers/envoy.yaml', ['-c', 'haproxy/postern.toml', ...fleet]],
  ['traefik', 'balancers/traefik.yaml', ['-c', 'haproxy/postern.toml', ...fleet]],
  ['caddy', 'balancers/caddy.json', ['-c', 'haproxy/postern.toml', ...fleet]],
  ['aws-nlb', 'balancers/aws-nlb.yaml', ['-c', 'haproxy/postern.toml', ...fleet]],
])('X6: %s: examples/%s', { timeout: patienceMs }, async (kind, file, args) => {
  await expect(await printed(kind, args)).toMatchFileSnapshot(join(examples, file))
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
