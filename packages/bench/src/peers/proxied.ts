/*
 * Servers that read a PROXY header: the same work for each is to accept, to read the header, and to greet.
 */
import { spawnSync } from 'node:child_process'
import { chmodSync, chownSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { startBare, startFront } from '../connection/servers.ts'
import { freePort, launchCommand, launchProgram } from '../server/launch.ts'
import { hasCommand, haraka, type Contestant, type Running } from './contestants.ts'
import { startGateway } from './gateway.ts'

const greeting = '220 mx.example.org ESMTP Postern\r\n'

/** The least that a server in Node can do. No header comes to it, and none is looked for. */
export function bareNode(): Contestant {
  return {
    name: 'bare Node server, no header',
    about: 'node:net, which writes a greeting',
    start: async () => {
      const server = await startBare(greeting)
      return { ...server, port: server.direct }
    },
  }
}

export function coreFront(): Contestant {
  return {
    name: 'postern: core’s proxied()',
    about: 'the bare server behind proxied() of @postern/core',
    start: async () => {
      const server = await startFront(greeting, 'require')
      return { ...server, port: server.proxied, proxy: 'v1' }
    },
  }
}

export function gatewayWithHeader(): Contestant {
  return {
    name: 'postern gateway',
    about: '`postern serve`, one worker, its default log: a line for each connection and one for its header',
    start: async () => {
      const server = await startGateway({ logLevel: 'info' })
      return { ...server, port: server.proxied, proxy: 'v1' }
    },
  }
}

export function smtpServerWithHeader(): Contestant {
  return {
    name: 'smtp-server, useProxy',
    about: 'npm smtp-server with useProxy for loopback; it waits for a tenth of a second before it greets',
    start: async () => {
      const program = new URL('smtp-server-program.js', import.meta.url)
      return { ...(await launchProgram<{ port: number }>(program, ['0', '1', 'proxy'])), proxy: 'v1' }
    },
  }
}

export function harakaWithHeader(): Contestant {
  const one = haraka(1, { trusts: '127.0.0.1' })
  return { ...one, name: 'haraka, haproxy hosts', start: async () => ({ ...(await one.start()), proxy: 'v1' }) }
}

/** Passes the connection on to a bare server; only its own processes are measured. */
export function haproxyInFront(): Contestant {
  return throughProxy('haproxy', 'mode tcp, accept-proxy, one thread', (port, backend) => ({
    'haproxy.cfg': [
      'global\n  maxconn 4000\n  nbthread 1',
      'defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s',
      `listen mail\n  bind 127.0.0.1:${port} accept-proxy\n  server one 127.0.0.1:${backend}\n`,
    ].join('\n'),
  }))
}

/** nginx’s stream module, as HAProxy above. */
export function nginxInFront(): Contestant {
  return throughProxy('nginx', 'stream, listen … proxy_protocol, one worker', (port, backend) => ({
    'nginx.conf': [
      nginxModule('stream'),
      'daemon off;\nworker_processes 1;\npid nginx.pid;\nerror_log stderr;',
      'events { worker_connections 8000; }',
      `stream {\n  server {\n    listen 127.0.0.1:${port} proxy_protocol;\n    proxy_pass 127.0.0.1:${backend};\n  }\n}\n`,
    ].join('\n'),
  }))
}

/** nginx’s mail module greets by itself; it would ask an HTTP service where the mail goes, which nothing here comes to. */
export function nginxMail(): Contestant {
  const about = 'mail, protocol smtp, listen … proxy_protocol, one worker; it speaks to no server behind it here'
  const one = throughProxy('nginx', about, (port) => ({
    'nginx.conf': [
      nginxModule('mail'),
      'daemon off;\nworker_processes 1;\npid nginx.pid;\nerror_log stderr;',
      'events { worker_connections 8000; }',
      'mail {\n  server_name mx.example.org;\n  auth_http 127.0.0.1:9/none;\n  smtp_auth none;',
      `  server {\n    listen 127.0.0.1:${port} proxy_protocol;\n    protocol smtp;\n  }\n}\n`,
    ].join('\n'),
  }))
  const missing = nginxModule('mail') === undefined ? { missing: 'nginx has no mail module (libnginx-mod-mail)' } : {}
  return { ...one, name: 'nginx mail', about, ...missing }
}

/** The line that loads a module; empty where it is compiled in, undefined where it is missing. */
function nginxModule(name: 'stream' | 'mail'): string | undefined {
  const folders = ['/usr/lib/nginx/modules', '/usr/lib64/nginx/modules']
  const file = folders.map((folder) => join(folder, `ngx_${name}_module.so`)).find((path) => existsSync(path))
  if (file !== undefined) return `load_module ${file};`
  const { stderr } = spawnSync('nginx', ['-V'], { encoding: 'utf8' })
  return new RegExp(`--with-${name}(?: |$)`, 'm').test(stderr ?? '') ? '' : undefined
}

const commands: Readonly<Record<string, (folder: string) => readonly string[]>> = {
  haproxy: (folder) => ['-db', '-f', join(folder, 'haproxy.cfg')],
  nginx: (folder) => ['-p', folder, '-c', join(folder, 'nginx.conf'), '-e', 'stderr'],
}

function throughProxy(
  command: 'haproxy' | 'nginx',
  about: string,
  files: (port: number, backend: number) => Readonly<Record<string, string>>,
): Contestant {
  const missing = hasCommand(command) ? {} : { missing: `${command} is not installed (scripts/install-bench-peers.sh)` }
  return {
    name: `${command}, passing on`,
    about: `${about}; what the server behind it costs is not counted`,
    ...missing,
    start: async () => {
      const backend = await startBare(greeting)
      const port = await freePort()
      const folder = mkdtempSync(join(tmpdir(), `postern-bench-${command}-`))
      mkdirSync(join(folder, 'logs'))
      for (const [name, text] of Object.entries(files(port, backend.direct))) writeFileSync(join(folder, name), text)
      const launched = await launchCommand(command, commands[command]!(folder), port)
      const stop = async (): Promise<void> => {
        await launched.stop()
        await backend.stop()
        rmSync(folder, { recursive: true })
      }
      return { ...launched, port, stop, proxy: 'v1' }
    },
  }
}

/**
 * Postfix, with all its processes and its queue on disk: what it acknowledges is safe, and is delivered to nowhere.
 *
 * @param reads - a PROXY header before everything.
 */
export function postfix(reads: 'header' | 'nothing'): Contestant {
  return {
    name: reads === 'header' ? 'postfix, haproxy' : 'postfix, queue, synced',
    about: `Postfix ${postconf('mail_version')}, smtpd, its queue on disk, delivery by discard(8); no reverse lookups, no limits for a client`,
    ...missingPostfix(),
    start: async () => {
      const port = await freePort()
      const folder = mkdtempSync(join(tmpdir(), 'postern-bench-postfix-'))
      writePostfix(folder, port, reads)
      const launched = await launchCommand('postfix', ['-c', join(folder, 'etc'), 'start-fg'], port)
      const stop = async (): Promise<void> => {
        spawnSync('postfix', ['-c', join(folder, 'etc'), 'abort'])
        await launched.stop()
        rmSync(folder, { recursive: true })
      }
      return { ...launched, port, stop, ...(reads === 'header' && { proxy: 'v1' as const }) } satisfies Running
    },
  }
}

function missingPostfix(): { readonly missing?: string } {
  if (!hasCommand('postfix')) return { missing: 'postfix is not installed (scripts/install-bench-peers.sh)' }
  return userInfo().uid === 0 ? {} : { missing: 'Postfix starts as root only' }
}

function postconf(name: string): string {
  return spawnSync('postconf', ['-d', '-h', name], { encoding: 'utf8' }).stdout?.trim() || 'unknown'
}

function writePostfix(folder: string, port: number, reads: 'header' | 'nothing'): void {
  chmodSync(folder, 0o755)
  for (const name of ['etc', 'queue', 'data']) mkdirSync(join(folder, name), { mode: 0o755 })
  const owner = Number(spawnSync('id', ['-u', 'postfix'], { encoding: 'utf8' }).stdout)
  chownSync(join(folder, 'data'), owner, 0)
  const main = {
    compatibility_level: '3.6',
    queue_directory: join(folder, 'queue'),
    data_directory: join(folder, 'data'),
    command_directory: postconf('command_directory'),
    daemon_directory: postconf('daemon_directory'),
    mail_owner: 'postfix',
    setgid_group: 'postdrop',
    myhostname: 'mx.example.org',
    mydestination: 'example.org',
    inet_interfaces: '127.0.0.1',
    inet_protocols: 'ipv4',
    local_recipient_maps: '',
    local_transport: 'discard:',
    alias_maps: '',
    alias_database: '',
    default_process_limit: '100',
    smtpd_peername_lookup: 'no',
    smtpd_client_connection_count_limit: '0',
    smtpd_recipient_restrictions: 'permit_mynetworks, reject_unauth_destination',
    in_flow_delay: '0',
    ...(reads === 'header' && { smtpd_upstream_proxy_protocol: 'haproxy' }),
  }
  const services = [
    `127.0.0.1:${port} inet n - n - - smtpd`,
    'cleanup unix n - n - 0 cleanup',
    'qmgr unix n - n 300 1 qmgr',
    'rewrite unix - - n - - trivial-rewrite',
    'bounce unix - - n - 0 bounce',
    'defer unix - - n - 0 bounce',
    'trace unix - - n - 0 bounce',
    'discard unix - - n - - discard',
    'error unix - - n - - error',
    'retry unix - - n - - error',
    'anvil unix - - n - 1 anvil',
    'scache unix - - n - 1 scache',
    'proxymap unix - - n - - proxymap',
    'postlog unix-dgram n - n - 1 postlogd',
  ]
  writeFileSync(
    join(folder, 'etc', 'main.cf'),
    Object.entries(main)
      .map(([name, value]) => `${name} = ${value}\n`)
      .join(''),
  )
  writeFileSync(join(folder, 'etc', 'master.cf'), `${services.join('\n')}\n`)
}
