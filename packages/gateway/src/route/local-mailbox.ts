import { domainToASCII } from 'node:url'

/** A mailbox by name, which may be one of ours. */
export interface LocalMailbox {
  readonly localPart: string
  /** Lower case; an internationalized one as A-labels (RFC 5890), however it was written. */
  readonly domain: string
}

/** A quoted local part may hold an `@`; a domain may not (RFC 5321 section 4.1.2), so the last one divides. */
export function splitMailbox(forwardPath: string): LocalMailbox {
  const at = forwardPath.lastIndexOf('@')
  const domain = forwardPath.slice(at + 1)
  return {
    localPart: forwardPath.slice(0, at),
    domain: nonAscii.test(domain) ? domainToASCII(domain) : domain.toLowerCase(),
  }
}

const nonAscii = /[^\0-\x7f]/
