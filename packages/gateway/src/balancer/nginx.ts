import { formatBindAddress } from '../config/bind-address.ts'
import { commentLines, type BalancedService, type BalancerPlan } from './plan.ts'

/** nginx's stream module, which sends headers of version 1 and has no health checks but the connections themselves. */
export function nginxText({ services, trust }: BalancerPlan): string {
  return `${commentLines('#', ['nginx in front of Postern, by its stream module. TLS is passed through: Postern holds the certificates.', ...trust, '(On Debian: install libnginx-mod-stream, and put `include /etc/nginx/modules-enabled/*.conf;` on the first line.)'])}
events {
  worker_connections 10000;
}

stream {
  # Idle mail clients are normal: IMAP's IDLE rests for up to 29 minutes (RFC 2177), SMTP waits up to 10 for a reply.
  proxy_timeout 35m;
  proxy_connect_timeout 5s;

  # A PROXY header, version 1, before the client's first byte. It is sent as soon as nginx has connected, so a server
  # that speaks first, as both SMTP and IMAP do, is not kept waiting.
  proxy_protocol on;

  # nginx notices a gateway that is gone by connections that fail; each of those is tried with the next one.
${services.map(upstream).join('')}
  # so_keepalive: a client that vanished without a word is noticed before the half hour is over.
${services.map(server).join('')}}
`
}

/** Hyphens are not for names of nginx's variables, which an operator may make of these. */
function nameOf({ name }: BalancedService): string {
  return `postern_${name.replaceAll('-', '_')}`
}

function upstream(service: BalancedService): string {
  const servers = service.gateways.map(
    (address) => `    server ${formatBindAddress(address)} max_fails=3 fail_timeout=10s;\n`,
  )
  return `  upstream ${nameOf(service)} {
    least_conn;
${servers.join('')}  }
`
}

function server(service: BalancedService): string {
  const listens = service.front.map((address) => `    listen ${formatBindAddress(address)} so_keepalive=5m::;\n`)
  return `  server {
${listens.join('')}    proxy_pass ${nameOf(service)};
  }
`
}
