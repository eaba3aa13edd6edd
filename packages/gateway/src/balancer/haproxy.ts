import { formatBindAddress } from '../config/bind-address.ts'
import { commentLines, type BalancedService, type BalancerPlan } from './plan.ts'

/** Tried with HAProxy 2.6. Headers of version 2, and with each health check one that says that HAProxy speaks for itself. */
export function haproxyText({ services, trust }: BalancerPlan): string {
  return `${commentLines('#', ['HAProxy in front of Postern. TLS is passed through: Postern holds the certificates.', ...trust])}
global
  # Each connection takes two files: HAProxy does not start when the hard limit (\`ulimit -Hn\`) is under some 40100.
  maxconn 20000
  log stdout format raw local0

defaults
  mode tcp
  log global
  option tcplog
  # Sessions differ in length by a factor of a thousand, so a gateway's load is what it has open.
  balance leastconn
  # A gateway that refuses a connection, as one does that stops, is left for another; the client does not notice.
  option redispatch 1
  timeout connect 5s
  # Idle mail clients are normal: IMAP's IDLE rests for up to 29 minutes (RFC 2177), SMTP waits up to 10 for a reply.
  timeout client 35m
  timeout server 35m
  timeout check 5s
  # Before the health checks have passed, a server gets no connections. Three bad ones take 7 s at most (5 s to the first, then
  # 1 s each): less than limits.drain-notice, so that a drain loses nobody.
  default-server inter 5s fastinter 1s fall 3 rise 1

# check-send-proxy puts a header before each health check too: Postern takes it as the balancer speaking for itself,
# greets it, and writes no log line about it.
${services.map(section).join('\n')}`
}

function section(service: BalancedService): string {
  const { name, front, gateways } = service
  const check = checkOf(service)
  const binds = front.map(
    (address) => `  bind ${formatBindAddress(address)}${address.host === '::' ? ' v6only' : ''}\n`,
  )
  const servers = gateways.map(
    (address, index) =>
      `  server gateway${index + 1} ${formatBindAddress(address)} send-proxy-v2 check check-send-proxy${check.options}\n`,
  )
  return `frontend ${name}
${binds.join('')}  default_backend postern-${name}

backend postern-${name}
${check.lines.map((line) => `  ${line}\n`).join('')}${servers.join('')}`
}

interface Check {
  readonly lines: readonly string[]
  /** Further words of each server. */
  readonly options: string
}

function checkOf({ protocol, tls, requiresClientCertificate }: BalancedService): Check {
  if (tls === 'implicit' && requiresClientCertificate) {
    return {
      lines: ['# Clients need a certificate, which HAProxy has none of: its check connects, and no more.'],
      options: '',
    }
  }
  // The name of the certificate is no matter of a balancer that only looks whether somebody is there.
  const options = tls === 'implicit' ? ' check-ssl verify none' : ''
  if (protocol === 'imap') return { lines: dialogue('^\\* OK', 'a LOGOUT', '^\\* BYE'), options }
  // smtpchk speaks no TLS of its own accord, and no LHLO.
  return protocol === 'lmtp' || tls === 'implicit'
    ? { lines: dialogue('^220', 'QUIT', '^221'), options }
    : { lines: ['option smtpchk EHLO localhost'], options }
}

function dialogue(greeting: string, farewell: string, answer: string): string[] {
  return [
    'option tcp-check',
    `tcp-check expect rstring "${greeting}"`,
    `tcp-check send "${farewell}\\r\\n"`,
    `tcp-check expect rstring "${answer}"`,
  ]
}
