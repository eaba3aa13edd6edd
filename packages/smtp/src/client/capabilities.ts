import type { DestinationExtension, DestinationExtensions } from '../session/destination-extensions.ts'
import type { Reply } from '../wire/reply.ts'

/** What a backend offered in its last reply to EHLO or LHLO (RFC 5321 §4.1.1.1): keyword to parameters, in upper case. */
export type Capabilities = ReadonlyMap<string, readonly string[]>

/** The first line is the server's name and words. A keyword that stands twice keeps what it said last. */
export function capabilitiesOf({ lines }: Reply): Capabilities {
  const capabilities = new Map<string, readonly string[]>()
  for (const line of lines.slice(1)) {
    // "AUTH=PLAIN" is how servers of the 1990s spelled it; they still are met.
    const [keyword = '', ...parameters] = line
      .toUpperCase()
      .replace(/^AUTH=/, 'AUTH ')
      .split(' ')
      .filter(isWord)
    if (keyword !== '') capabilities.set(keyword, parameters)
  }
  return capabilities
}

/** RFC 1870 §3: the largest message, in octets; zero or nothing says that there is no fixed one. */
export function maxSizeOf(capabilities: Capabilities): number {
  const value = capabilities.get('SIZE')?.[0] ?? '0'
  const bytes = /^\d{1,20}$/.test(value) ? Number(value) : 0
  return bytes === 0 ? Infinity : bytes
}

/** How a backend is spoken to: what it offers is worth as much. */
export interface BackendWay {
  readonly protocol: 'smtp' | 'lmtp'
  /** What it offered was told under TLS with a certificate that proved its name. */
  readonly isVerified: boolean
}

/** What a relay to this backend can do, for the EHLO of our own session. */
export function extensionsOf(capabilities: Capabilities, { protocol, isVerified }: BackendWay): DestinationExtensions {
  const keepsBinary = capabilities.has('BINARYMIME') && capabilities.has('CHUNKING')
  const can: Readonly<Record<DestinationExtension, boolean>> = {
    '8BITMIME': capabilities.has('8BITMIME'),
    BINARYMIME: keepsBinary,
    SMTPUTF8: capabilities.has('SMTPUTF8'),
    DSN: capabilities.has('DSN'),
    REQUIRETLS: capabilities.has('REQUIRETLS') && isVerified,
    // LMTP has a verdict for each recipient in any case.
    PRDR: protocol === 'lmtp' || capabilities.has('PRDR'),
  }
  const names = Object.keys(can) as DestinationExtension[]
  const maxMessageBytes = maxSizeOf(capabilities)
  return {
    extensions: new Set(names.filter((name) => can[name])),
    ...(maxMessageBytes === Infinity ? {} : { maxMessageBytes }),
  }
}

const isWord = (text: string): boolean => text !== ''
