/*
 * What a destination can do, so that EHLO promises nothing that a backend lacks (RFC 5321 §2.2: an extension that is
 * offered is honoured). A gateway that relays learns what its backends offer, and answers the intersection.
 */

/** An extension whose promise only the destination can keep. */
export type DestinationExtension =
  | '8BITMIME' // RFC 6152
  | 'BINARYMIME' // RFC 3030 §3: no text, with NUL, CR and LF anywhere
  | 'SMTPUTF8' // RFC 6531
  | 'DSN' // RFC 3461: it reports, or hands on what was asked
  | 'REQUIRETLS' // RFC 8689: it keeps the message, or hands it on under verified TLS to who promises the same
  | 'PRDR' // draft-hall-prdr: a fate for each recipient (`commitEach`)

/** What every destination can do that mail of a connection may reach. */
export interface DestinationExtensions {
  readonly extensions: ReadonlySet<DestinationExtension>
  /** Octets of the largest message (RFC 1870). The session's own bound holds beside it. */
  readonly maxMessageBytes?: number
  /** Domains of the recipients of one transaction (RFC 9422 §4.3): 1 where each domain has a route of its own. */
  readonly maxRecipientDomains?: number
}

/** What is taken for granted of a destination of which nobody says anything. */
export const usualExtensions: DestinationExtensions = { extensions: new Set(['8BITMIME', 'SMTPUTF8']) }

/** What all of these can do; nothing when there is none. */
export function commonExtensions(destinations: readonly DestinationExtensions[]): DestinationExtensions {
  const [first, ...others] = destinations
  const extensions = [...(first?.extensions ?? [])].filter((extension) =>
    others.every((other) => other.extensions.has(extension)),
  )
  return {
    extensions: new Set(extensions),
    ...least('maxMessageBytes', destinations),
    ...least('maxRecipientDomains', destinations),
  }
}

function least<K extends 'maxMessageBytes' | 'maxRecipientDomains'>(
  bound: K,
  destinations: readonly DestinationExtensions[],
): { readonly [key in K]?: number } {
  const value = Math.min(...destinations.map((destination) => destination[bound] ?? Infinity))
  return value === Infinity ? {} : ({ [bound]: value } as { readonly [key in K]: number })
}
