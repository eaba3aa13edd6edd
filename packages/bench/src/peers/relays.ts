/*
 * What stands between clients and a backend: proxies of IMAP logins, and relays of SMTP that keep nothing. Each is told of
 * one backend, and starts beside it.
 */
import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort, launchCommand } from '../server/launch.ts'
import { hasCommand, type Contestant } from './contestants.ts'
import { dovecotBasics } from './dovecot.ts'
import { startGateway } from './gateway.ts'

/** The gateway as it ships, before a backend for IMAP: the backend is the judge of every login. */
export function posternBeforeImap(backend: number): Contestant {
  return {
    name: 'postern gateway',
    about: '`postern serve` with its default log, one worker; sign-in = "upstream"',
    start: async () => {
      const extra = `[upstream.boxes]\nprotocol = "imap"\nbackends = ["127.0.0.1:${backend}"]\ncredentials-in-clear = true\n[[route]]\nto = "boxes"\n`
      const server = await startGateway({ logLevel: 'info', extra, imapSignIn: 'upstream' })
      return { ...server, port: server.imap, proxy: 'v2-ssl' }
    },
  }
}

/** The same, before a backend that takes mail. */
export function posternBeforeSmtp(backend: number): Contestant {
  return {
    name: 'postern gateway',
    about: '`postern serve` with its default log, one worker; the client announced in Received',
    start: async () => {
      const extra = `[upstream.inside]\nprotocol = "smtp"\nbackends = ["127.0.0.1:${backend}"]\n[[route]]\nrecipients = ["example.org"]\nto = "inside"\n`
      const server = await startGateway({ logLevel: 'info', extra })
      return { ...server, port: server.direct }
    },
  }
}

/** nginx asks an `auth_http` service for each login, which here is itself, with one answer: less there cannot be. */
export function nginxBefore(protocol: 'imap' | 'smtp', backend: number): Contestant {
  const missing =
    nginxMail() === undefined ? { missing: 'nginx has no mail module (scripts/install-bench-peers.sh)' } : {}
  return {
    name: 'nginx mail',
    about: `${nginxVersion()}, one worker, auth_http answered by itself with one constant; no access log`,
    ...missing,
    start: async () => {
      const [port, auth] = [await freePort(), await freePort()]
      const folder = mkdtempSync(join(tmpdir(), 'postern-bench-nginx-'))
      const file = join(folder, 'nginx.conf')
      writeFileSync(file, nginxConfiguration({ folder, protocol, port, auth, backend }))
      const launched = await launchCommand('nginx', ['-p', folder, '-c', file, '-g', 'daemon off;'], port)
      const stop = (): Promise<void> => launched.stop().finally(() => rmSync(folder, { recursive: true }))
      return protocol === 'imap' ? { ...launched, port, proxy: 'v2-ssl', stop } : { ...launched, port, stop }
    },
  }
}

/** Dovecot's login proxy: a `passdb` that says of everybody where the mail is. */
export function dovecotBefore(backend: number): Contestant {
  const missing = hasCommand('dovecot') ? {} : { missing: 'dovecot is not installed (scripts/install-bench-peers.sh)' }
  return {
    name: 'dovecot login proxy',
    about: `Dovecot ${dovecotVersion()}, one login process for many clients, a passdb with one constant answer`,
    ...missing,
    start: async () => {
      const port = await freePort()
      const folder = mkdtempSync(join(tmpdir(), 'postern-bench-dovecot-'))
      // Its processes change to users of their own, which have to come in.
      chmodSync(folder, 0o755)
      for (const name of ['run', 'state']) mkdirSync(join(folder, name), { mode: 0o755 })
      const file = join(folder, 'dovecot.conf')
      writeFileSync(file, dovecotConfiguration(folder, port, backend))
      const launched = await launchCommand('dovecot', ['-F', '-c', file], port)
      const stop = (): Promise<void> => launched.stop().finally(() => rmSync(folder, { recursive: true }))
      return { ...launched, port, proxy: 'v2-ssl', stop }
    },
  }
}

interface NginxPlace {
  readonly folder: string
  readonly protocol: 'imap' | 'smtp'
  readonly port: number
  readonly auth: number
  readonly backend: number
}

function nginxConfiguration({ folder, protocol, port, auth, backend }: NginxPlace): string {
  const mail =
    protocol === 'imap'
      ? `listen 127.0.0.1:${port} proxy_protocol;\n    protocol imap;`
      : `listen 127.0.0.1:${port};\n    protocol smtp;\n    smtp_auth none;\n    xclient off;`
  return `${nginxMail() ?? ''}
worker_processes 1;
pid ${folder}/pid;
error_log /dev/null crit;
events {
  worker_connections 20000;
}
http {
  access_log off;
  client_body_temp_path ${folder}/body;
  proxy_temp_path ${folder}/proxy;
  fastcgi_temp_path ${folder}/fastcgi;
  uwsgi_temp_path ${folder}/uwsgi;
  scgi_temp_path ${folder}/scgi;
  server {
    listen 127.0.0.1:${auth};
    location / {
      add_header Auth-Status OK;
      add_header Auth-Server 127.0.0.1;
      add_header Auth-Port ${backend};
      return 200;
    }
  }
}
mail {
  server_name mx.example.org;
  auth_http 127.0.0.1:${auth}/;
  timeout 1h;
  server {
    ${mail}
  }
}
`
}

function dovecotConfiguration(folder: string, port: number, backend: number): string {
  return `${dovecotBasics(folder)}
passdb {
  driver = static
  args = nopassword=y proxy=y host=127.0.0.1 port=${backend}
}
service imap-login {
  service_count = 0
  process_min_avail = 1
  process_limit = 1
  inet_listener imap {
    port = ${port}
    haproxy = yes
  }
  inet_listener imaps {
    port = 0
  }
}
service auth {
  client_limit = 40000
}
service anvil {
  client_limit = 40000
}
`
}

/** The line that loads the module; empty where it is compiled in. */
function nginxMail(): string | undefined {
  if (!hasCommand('nginx')) return undefined
  const build = nginxBuild()
  if (/--with-mail(?:\s|$)/.test(build)) return ''
  const file = join(/--modules-path=(\S+)/.exec(build)?.[1] ?? '/usr/lib/nginx/modules', 'ngx_mail_module.so')
  return existsSync(file) ? `load_module ${file};` : undefined
}

function nginxVersion(): string {
  return /nginx\/[\d.]+/.exec(nginxBuild())?.[0] ?? 'nginx'
}

function nginxBuild(): string {
  const path = `${process.env['PATH'] ?? ''}:/usr/sbin:/usr/local/sbin`
  return spawnSync('nginx', ['-V'], { encoding: 'utf8', env: { ...process.env, PATH: path } }).stderr ?? ''
}

function dovecotVersion(): string {
  const { stdout } = spawnSync('dovecot', ['--version'], { encoding: 'utf8' })
  return stdout?.split(' ')[0]?.trim() || '(version unknown)'
}
