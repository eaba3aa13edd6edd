import { xclientAttributes, xforwardAttributes } from '../wire/xclient.ts'
import type { Dialogue } from './dialogue.ts'

/** The EHLO keywords (RFC 5321 §4.1.1.1), and when each is offered. What is not listed here is not offered. */
export function offeredExtensions(dialogue: Dialogue): string[] {
  const mechanisms = dialogue.offeredMechanisms
  return [
    'PIPELINING', // RFC 2920
    `SIZE ${dialogue.limits.maxMessageBytes}`, // RFC 1870
    `LIMITS RCPTMAX=${dialogue.limits.maxRecipients}`, // RFC 9422 §4.2
    ...(dialogue.offersStartTls ? ['STARTTLS'] : []), // RFC 3207
    ...(mechanisms.length > 0 ? [`AUTH ${mechanisms.join(' ')}`] : []), // RFC 4954
    'ENHANCEDSTATUSCODES', // RFC 2034
    '8BITMIME', // RFC 6152
    'SMTPUTF8', // RFC 6531
    'CHUNKING', // RFC 3030 §2
    ...(dialogue.takesBinaryMime ? ['BINARYMIME'] : []), // RFC 3030 §3
    ...(dialogue.offersXclient ? [`XCLIENT ${xclientAttributes.join(' ')}`] : []),
    ...(dialogue.offersXforward ? [`XFORWARD ${xforwardAttributes.join(' ')}`] : []),
  ]
}
