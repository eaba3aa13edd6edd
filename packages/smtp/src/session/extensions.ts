import { xclientAttributes, xforwardAttributes } from '../wire/xclient.ts'
import type { Dialogue } from './dialogue.ts'

/** The EHLO keywords (RFC 5321 §4.1.1.1), and when each is offered. What is not listed here is not offered. */
export function offeredExtensions(dialogue: Dialogue): string[] {
  const mechanisms = dialogue.offeredMechanisms
  const { maxRecipientDomains } = dialogue.extensions
  const domains = maxRecipientDomains === undefined ? '' : ` RCPTDOMAINMAX=${maxRecipientDomains}`
  return [
    'PIPELINING', // RFC 2920
    `SIZE ${dialogue.maxMessageBytes}`, // RFC 1870
    `LIMITS RCPTMAX=${dialogue.limits.maxRecipients}${domains}`, // RFC 9422 §4.2 and §4.3
    ...(dialogue.offersStartTls ? ['STARTTLS'] : []), // RFC 3207
    ...(mechanisms.length > 0 ? [`AUTH ${mechanisms.join(' ')}`] : []), // RFC 4954
    'ENHANCEDSTATUSCODES', // RFC 2034
    ...(dialogue.offers('8BITMIME') ? ['8BITMIME'] : []), // RFC 6152
    ...(dialogue.offers('SMTPUTF8') ? ['SMTPUTF8'] : []), // RFC 6531
    'CHUNKING', // RFC 3030 §2
    ...(dialogue.offers('BINARYMIME') ? ['BINARYMIME'] : []), // RFC 3030 §3
    ...(dialogue.offers('DSN') ? ['DSN'] : []), // RFC 3461
    ...(dialogue.offers('PRDR') ? ['PRDR'] : []), // draft-hall-prdr
    ...(dialogue.offers('REQUIRETLS') ? ['REQUIRETLS'] : []), // RFC 8689
    ...(dialogue.offersXclient ? [`XCLIENT ${xclientAttributes.join(' ')}`] : []),
    ...(dialogue.offersXforward ? [`XFORWARD ${xforwardAttributes.join(' ')}`] : []),
  ]
}
