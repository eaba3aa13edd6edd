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
  const domain = forwardPath.slice(at + 1).toLowerCase()
  // Text that is no domain gives nothing, and is compared as it stands.
  const ascii = nonAscii.test(domain) ? domainToASCII(domain) : ''
  return { localPart: forwardPath.slice(0, at), domain: ascii === '' ? domain : ascii }
}

/**
 * One spelling for all that is one mailbox here: hardly anybody means two people by `Ann` and `ann`, and RFC 5321 section
 * 2.4 leaves it to the receiving host.
 */
export function foldMailbox({ localPart, domain }: LocalMailbox): string {
  return `${localPart.replaceAll(/[A-Z]/g, (letter) => letter.toLowerCase())}@${domain}`
}

const nonAscii = /[^\0-\x7f]/
