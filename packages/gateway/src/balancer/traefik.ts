import { formatBindAddress } from '../config/bind-address.ts'
import { commentLines, dualStackFront, nameOfPlace, yamlName, type BalancedService, type BalancerPlan } from './plan.ts'

/** Two files of Traefik 3 in one stream of YAML documents: the static one, then the dynamic one that it names. */
export function traefikText({ services, trust }: BalancerPlan): string {
  return `${commentLines('#', [
    'Traefik in front of Postern. TLS is passed through: Postern holds the certificates.',
    ...trust,
    'Here are two files: this one is the static configuration, for /etc/traefik/traefik.yaml.',
  ])}entryPoints:
${services.map(entryPoints).join('')}providers:
  file:
    filename: /etc/traefik/postern.yaml
---
${commentLines('#', [
  'The second file, for /etc/traefik/postern.yaml.',
  'An entry point of these must have no other router, least of all one with TLS or HTTP: Traefik would then wait for the client’s first bytes, and SMTP and IMAP clients wait for the greeting.',
])}tcp:
  routers:
${services.map(router).join('')}  services:
${services.map(service).join('')}`
}

function placesOf(one: BalancedService): { readonly name: string; readonly address: string }[] {
  return dualStackFront(one).map((address, index) => ({
    name: yamlName(nameOfPlace(one.name, index)),
    address: formatBindAddress(address),
  }))
}

function entryPoints(one: BalancedService): string {
  return placesOf(one)
    .map(({ name, address }) => `  ${name}:\n    address: "${address}"\n`)
    .join('')
}

function router(one: BalancedService): string {
  return `    ${yamlName(one.name)}:
      entryPoints: [${placesOf(one)
        .map(({ name }) => name)
        .join(', ')}]
      rule: "HostSNI(\`*\`)"
      service: postern-${one.name}
`
}

/** The check sends nothing and awaits nothing: it comes without a header, and a greeting would wait for one. */
function service({ name, gateways }: BalancedService): string {
  return `    postern-${name}:
      loadBalancer:
        proxyProtocol:
          version: 2
        # Traefik 3.6 and later; earlier ones refuse the key, and have no checks of TCP servers.
        healthCheck:
          interval: 5s
          timeout: 5s
        servers:
${gateways.map((address) => `          - address: "${formatBindAddress(address)}"\n`).join('')}`
}
