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
  return { localPart: forwardPath.slice(0, at), domain: foldDomain(forwardPath.slice(at + 1)) }
}

/** Lower case, and A-labels (RFC 5890). Text that is no domain is compared as it stands. */
export function foldDomain(text: string): string {
  const domain = text.toLowerCase()
  return (nonAscii.test(domain) && domainToASCII(domain)) || domain
}

/**
 * One spelling for all that is one mailbox here: hardly anybody means two people by `Ann` and `ann`, and RFC 5321 section
 * 2.4 leaves it to the receiving host.
 */
export function foldMailbox({ localPart, domain }: LocalMailbox): string {
  return `${localPart.replaceAll(/[A-Z]/g, (letter) => letter.toLowerCase())}@${domain}`
}

const nonAscii = /[^\0-\x7f]/
