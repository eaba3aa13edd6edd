import type { BindAddress } from '../config/schema.ts'
import {
  commentLines,
  greetingOf,
  greetsInClear,
  idleSeconds,
  nameOfPlace,
  yamlName,
  type BalancedService,
  type BalancerPlan,
} from './plan.ts'

/** A bootstrap file of Envoy, API version 3. */
export function envoyText({ services, trust }: BalancerPlan): string {
  return `${commentLines('#', ['Envoy in front of Postern. TLS is passed through: Postern holds the certificates.', ...trust])}static_resources:
  listeners:
${services.map(listeners).join('')}  clusters:
${services.map(cluster).join('')}`
}

function listeners(service: BalancedService): string {
  return service.front
    .map(
      (address, index) => `    - name: ${yamlName(nameOfPlace(service.name, index))}
      address: ${socketAddress(address)}
      filter_chains:
        - filters:
            - name: envoy.filters.network.tcp_proxy
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
                stat_prefix: ${yamlName(service.name)}
                cluster: postern-${service.name}
                # Idle mail clients are normal: IMAP's IDLE rests for up to 29 minutes (RFC 2177).
                idle_timeout: ${idleSeconds}s
`,
    )
    .join('')
}

/**
 * The checks come through the same socket as clients, so that each has a header, which says LOCAL. Envoy keeps the
 * connection of a check unless it is told not to, and would wait in vain for a second greeting.
 */
function cluster(service: BalancedService): string {
  const receive = greetsInClear(service)
    ? `{ receive: [{ text: "${Buffer.from(greetingOf(service.protocol)).toString('hex')}" }] } # ${greetingOf(service.protocol)}`
    : '{} # It only connects: the greeting is inside TLS.'
  return `    - name: postern-${service.name}
      type: STATIC
      connect_timeout: 5s
      lb_policy: LEAST_REQUEST
      health_checks:
        # Three bad ones in a row take 9 s: less than limits.drain-notice, so that a drain loses nobody.
        - timeout: 3s
          interval: 3s
          unhealthy_threshold: 3
          healthy_threshold: 1
          reuse_connection: false
          tcp_health_check: ${receive}
      load_assignment:
        cluster_name: postern-${service.name}
        endpoints:
          - lb_endpoints:
${service.gateways.map((address) => `              - endpoint: { address: ${socketAddress(address)} }\n`).join('')}      transport_socket:
        name: envoy.transport_sockets.upstream_proxy_protocol
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport
          config: { version: V2 }
          transport_socket:
            name: envoy.transport_sockets.raw_buffer
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer
`
}

function socketAddress({ host, port }: BindAddress): string {
  return `{ socket_address: { address: "${host}", port_value: ${port} } }`
}
