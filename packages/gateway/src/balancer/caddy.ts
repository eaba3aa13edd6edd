import { formatBindAddress } from '../config/bind-address.ts'
import { dualStackFront, type BalancerPlan } from './plan.ts'

/** JSON for a Caddy with the layer4 module, which Caddy itself does not bring. */
export function caddyText({ services }: BalancerPlan): string {
  const servers = services.map((service) => [
    service.name,
    {
      listen: dualStackFront(service).map(formatBindAddress),
      // A route without a matcher reads no byte of the client, who waits for the greeting.
      routes: [
        {
          handle: [
            {
              handler: 'proxy',
              proxy_protocol: 'v2',
              upstreams: service.gateways.map((address) => ({ dial: [formatBindAddress(address)] })),
              load_balancing: { selection: { policy: 'least_conn' }, try_duration: '10s' },
              // It connects, and no more. A port of its own would move the clients there too, in some versions.
              health_checks: { active: { interval: '5s', timeout: '5s' } },
            },
          ],
        },
      ],
    },
  ])
  return `${JSON.stringify({ apps: { layer4: { servers: Object.fromEntries(servers) } } }, undefined, 2)}\n`
}

/** JSON has no comments. */
export function caddyNotes({ trust }: BalancerPlan): readonly string[] {
  return ['Caddy needs its layer4 module: xcaddy build --with github.com/mholt/caddy-l4', ...trust]
}
