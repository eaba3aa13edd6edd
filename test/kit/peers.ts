import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { run, type Outcome, type RunOptions } from './run.ts'

export type Peer =
  | 'dovecot'
  | 'doveadm'
  | 'fetchmail'
  | 'mbsync'
  | 'neomutt'
  | 'offlineimap'
  | 'script'
  | 'faketime'
  | 'redis-server'
  | 'rspamd'
  | 'haproxy'
  | 'pebble'
  | 'pebble-challtestsrv'
  | 'chromium'
  | 'strace'
  | 'prlimit'
  | 'nginx'
  | 'smtp-sink'
  | 'smtp-source'
  | 'postfix'
  | 'swaks'
  | 'curl'
  | 'openssl'
  | 'nc'
  | 'python3'
  | 'gsasl'
  | 'msmtp'

const found = new Map<Peer, string>()

/** A missing peer fails the test that needs it: a row that was skipped in silence would count as kept. */
export function requirePeer(name: Peer): void {
  peerPath(name)
}

export function peerPath(name: Peer): string {
  const known = found.get(name)
  if (known !== undefined) return known
  const folders = [...(process.env['PATH'] ?? '').split(':'), '/usr/sbin', '/sbin']
  const path = folders.map((folder) => join(folder, name)).find(existsSync)
  if (path === undefined)
    throw new Error(`${name} is not installed: run \`sh scripts/install-test-peers.sh\` and try again`)
  found.set(name, path)
  return path
}

/** Runs one of the peers, bounded in time. */
export async function peer(name: Peer, args: readonly string[], options?: RunOptions): Promise<Outcome> {
  requirePeer(name)
  return run(name, args, options)
}

/** The line that loads nginx's stream module; empty where it is compiled in. */
export function nginxStreamModule(): string {
  requirePeer('nginx')
  const build = execFileSync('sh', ['-c', 'nginx -V 2>&1'], { encoding: 'utf8' })
  if (/--with-stream(?:\s|$)/.test(build)) return ''
  const folder = /--modules-path=(\S+)/.exec(build)?.[1] ?? '/usr/lib/nginx/modules'
  const file = join(folder, 'ngx_stream_module.so')
  if (!existsSync(file)) {
    throw new Error('nginx has no stream module: run `sh scripts/install-test-peers.sh` and try again')
  }
  return `load_module ${file};`
}
