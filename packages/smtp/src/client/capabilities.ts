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

const isWord = (text: string): boolean => text !== ''
