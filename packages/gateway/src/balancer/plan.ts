/*
 * What a balancer in front of this gateway must do, whatever it is: one service for each listener that takes a PROXY header.
 * The files beside this one write it down, each in the language of one balancer.
 */
import type { ListenerProtocol, TlsMode } from '@postern/core'
import { defaultPort, formatBindAddress, isWildcard, parseBindAddress } from '../config/bind-address.ts'
import type { BindAddress, ListenerConfig, ListenerLiveConfig } from '../config/schema.ts'

export interface BalancerPlan {
  /** At least one, in the order of the configuration. */
  readonly services: readonly BalancedService[]
  /** From where our listeners take headers, as sentences for the head of the file. */
  readonly trust: readonly string[]
}

export interface BalancedService {
  /** The listener's: lower-case letters, digits and hyphens, which every balancer takes as a name. */
  readonly name: string
  readonly protocol: ListenerProtocol
  readonly tls: TlsMode
  /** A handshake without a certificate of the client fails, and so would a check that makes one. */
  readonly requiresClientCertificate: boolean
  /** Where the balancer listens. */
  readonly front: readonly BindAddress[]
  /** The same listener of each gateway, as the balancer reaches it. */
  readonly gateways: readonly BindAddress[]
}

export interface PlanOptions {
  /** The listeners to serve; all that take a header, when there are none. */
  readonly names: readonly string[]
  /** Addresses of the gateways, without ports. None: where the listeners are bound. */
  readonly gateways: readonly string[]
  /** Where the balancer listens, for one listener or, without a name, for all that have no line of their own. */
  readonly front: readonly FrontAddress[]
}

export interface FrontAddress {
  readonly name?: string
  readonly host: string
  /** Absent: the registered port of the protocol. */
  readonly port?: number
}

export type PlanOutcome =
  | { readonly ok: true; readonly plan: BalancerPlan }
  | { readonly ok: false; readonly reason: string }

/** Reads `[NAME=]ADDRESS[:PORT]`. */
export function parseFrontAddress(text: string): FrontAddress | undefined {
  const { name, rest = '' } = /^(?:(?<name>[a-z][a-z0-9-]{0,31})=)?(?<rest>.*)$/.exec(text)?.groups ?? {}
  const address = parseBindAddress(rest)
  return address === undefined ? undefined : { ...address, ...(name === undefined ? {} : { name }) }
}

/** A gateway's address, in the brackets of IPv6 or without them. A port belongs to a listener, and is none here. */
export function parseGatewayAddress(text: string): string | undefined {
  const address = parseBindAddress(text.includes(':') && !text.startsWith('[') ? `[${text}]` : text)
  return address === undefined || address.port !== undefined || isWildcard({ ...address, port: 0 })
    ? undefined
    : address.host
}

/** Joins the two halves of a listener, and decides who is served where. */
export function planBalancer(
  listeners: readonly ListenerConfig[],
  live: readonly ListenerLiveConfig[],
  options: PlanOptions,
): PlanOutcome {
  const unknown = [...options.names, ...options.front.flatMap(({ name }) => name ?? [])].find(
    (name) => !listeners.some((listener) => listener.name === name),
  )
  if (unknown !== undefined) return no(`there is no listener ${unknown}`)

  const services: BalancedService[] = []
  const trusted = new Map<string, readonly string[]>()
  for (const listener of listeners) {
    const { name, protocol, tls } = listener
    if (options.names.length > 0 && !options.names.includes(name)) continue
    const proxy = live.find((one) => one.name === name)?.proxy
    if (proxy === undefined || proxy.mode === 'off') {
      if (options.names.length === 0) continue
      return no(`listener ${name} takes no PROXY header: say proxy.mode = "require" and who its balancers are`)
    }
    const gateways = gatewaysOf(listener, options.gateways, proxy.trustedNetworks)
    if (gateways.length === 0) {
      return no(`listener ${name} is bound to every address: say how the balancer reaches it, by --gateway ADDRESS`)
    }
    trusted.set(name, proxy.trustedNetworks)
    services.push({
      name,
      protocol,
      tls,
      requiresClientCertificate: live.find((one) => one.name === name)?.clientCertificates === 'require',
      front: frontOf(listener, options.front),
      gateways,
    })
  }
  if (services.length === 0) return no('no listener takes a PROXY header: see proxy.trusted-networks')

  const taken = new Map<string, string>()
  for (const { name, front } of services) {
    for (const address of front) {
      const place = formatBindAddress(address)
      const other = taken.get(place)
      if (other !== undefined) {
        return no(`listeners ${other} and ${name} would both be served on ${place}: say --listen ${name}=ADDRESS:PORT`)
      }
      taken.set(place, name)
    }
  }
  return { ok: true, plan: { services, trust: trustOf(trusted) } }
}

/**
 * A port of 0 is the system's choice, which no balancer can know. Without gateways by name they are the listener's own
 * addresses, as far as a balancer is trusted there: it comes by the family of the address.
 */
function gatewaysOf({ bind }: ListenerConfig, hosts: readonly string[], trusted: readonly string[]): BindAddress[] {
  const reachable = bind.filter(({ port }) => port !== 0)
  if (hosts.length > 0) {
    const [first] = reachable
    return first === undefined ? [] : hosts.map((host) => ({ host, port: first.port }))
  }
  const own = reachable.filter((address) => !isWildcard(address))
  const isTrusted = ({ host }: BindAddress): boolean =>
    trusted.some((network) => network.includes(':') === host.includes(':'))
  return own.some(isTrusted) ? own.filter(isTrusted) : own
}

function frontOf({ name, protocol, tls }: ListenerConfig, front: readonly FrontAddress[]): BindAddress[] {
  const own = front.filter((one) => one.name === name)
  const chosen = own.length > 0 ? own : front.filter((one) => one.name === undefined)
  const port = defaultPort(protocol, tls)
  return chosen.length === 0
    ? [{ host: '0.0.0.0', port }]
    : chosen.map((one) => ({ host: one.host, port: one.port ?? port }))
}

function trustOf(trusted: ReadonlyMap<string, readonly string[]>): string[] {
  const lists = [...trusted].map(([name, networks]) => ({ name, text: networks.join(', ') }))
  const [first] = lists
  if (first === undefined) return []
  const rest = 'this balancer must connect from there, and clients must not be able to.'
  return lists.every(({ text }) => text === first.text)
    ? [`Postern takes headers from ${first.text}: ${rest}`]
    : lists.map(({ name, text }) => `Listener ${name} takes headers from ${text}: ${rest}`)
}

function no(reason: string): PlanOutcome {
  return { ok: false, reason }
}

/** How long a connection may rest: IMAP's IDLE rests for up to 29 minutes (RFC 2177), SMTP waits up to 10 for a reply. */
export const idleSeconds = 2100

/** The first bytes of a greeting. */
export function greetingOf(protocol: ListenerProtocol): '220' | '* OK' {
  return protocol === 'imap' ? '* OK' : '220'
}

/** Whether a check can read the greeting without TLS. */
export function greetsInClear({ tls }: BalancedService): boolean {
  return tls !== 'implicit'
}

/**
 * Without the second of `0.0.0.0` and `::` on one port. Programs written in Go take IPv4 and IPv6 on either, so the second
 * socket would find the port in use.
 */
export function dualStackFront({ front }: BalancedService): BindAddress[] {
  return front.filter(
    (address, index) =>
      !isWildcard(address) ||
      !front.slice(0, index).some((earlier) => isWildcard(earlier) && earlier.port === address.port),
  )
}

/** A name as YAML reads it: quoted when it would be a truth value or nothing. `true` can be the name of a listener. */
export function yamlName(name: string): string {
  return /^(?:true|false|null|yes|no|on|off|y|n)$/.test(name) ? `"${name}"` : name
}

/** For the places of a service behind its first. No listener's name has an underscore. */
export function nameOfPlace(name: string, index: number): string {
  return index === 0 ? name : `${name}_${index + 1}`
}

/** Wraps sentences to lines of a comment. */
export function commentLines(prefix: string, sentences: readonly string[]): string {
  return sentences
    .flatMap((sentence) => {
      const lines: string[] = []
      let line = prefix
      for (const word of sentence.split(' ')) {
        if (line.length + 1 + word.length > 119 && line !== prefix) {
          lines.push(line)
          line = prefix
        }
        line += ` ${word}`
      }
      return [...lines, line]
    })
    .map((line) => `${line}\n`)
    .join('')
}
