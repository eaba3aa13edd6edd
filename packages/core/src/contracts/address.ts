/**
 * An IP address as a value: numbers inside, text on demand.
 *
 * An IPv4-mapped IPv6 address (`::ffff:192.0.2.1`) is folded to IPv4 when the value is made, so a rule written for
 * IPv4 can never be passed by in IPv6 spelling. No other embedding (6to4, NAT64, IPv4-compatible) is folded.
 */
export interface IpAddress {
  readonly family: 4 | 6
  /** Dotted decimal, or RFC 5952 text. Formatted once, then kept. */
  toString(): string
  /** The same family and the same bits. */
  equals(other: IpAddress): boolean
  /** This address with all bits after the first `prefixBits` cleared: a key for counters (/32, /24, /64). */
  network(prefixBits: number): IpAddress
}

/** One end of a connection. */
export interface Endpoint {
  readonly address: IpAddress
  /** 0 to 65535. */
  readonly port: number
}
