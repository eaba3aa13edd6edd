import type { IpAddress } from '@postern/core'

/**
 * An address as the zones that are keyed by addresses spell it: `7.113.0.203`, or the 32 nibbles of IPv6, the last
 * first (RFC 1035 section 3.5, RFC 3596 section 2.5, RFC 5782 section 2.4).
 */
export function reversedLabels(address: IpAddress): string {
  const text = address.toString()
  return address.family === 4 ? text.split('.').toReversed().join('.') : nibblesOf(text).toReversed().join('.')
}

/** The name whose PTR records name the address. */
export function reverseName(address: IpAddress): string {
  return `${reversedLabels(address)}.${address.family === 4 ? 'in-addr' : 'ip6'}.arpa`
}

/** @param text - in the form of RFC 5952: groups of hexadecimal digits, `::` for a run of zeros. */
function nibblesOf(text: string): string[] {
  const [head = [], tail = []] = text.split('::').map((part) => part.split(':').filter((group) => group !== ''))
  const zeros = Array.from({ length: 8 - head.length - tail.length }, () => '0')
  return [...head, ...zeros, ...tail].flatMap((group) => group.padStart(4, '0').split(''))
}
