import type { IncomingMessage } from 'node:http'
import { explainHeader, limits as protocol } from '@postern/core'
import { headerText } from '../cli/header-text.ts'

/** Two digits for each byte of the largest header, and as much again for blanks and line ends. */
const maxQuestionChars = 4 * protocol.largestHeaderBytes

/** What was sent with a request; undefined when it is too long. The rest is read and dropped then, so that the answer arrives. */
export function readQuestion(request: IncomingMessage): Promise<string | undefined> {
  const { promise, resolve, reject } = Promise.withResolvers<string | undefined>()
  let text = ''
  request.on('data', (chunk: Buffer) => {
    // Whatever is not ASCII is wrong, and shows as such.
    if (text.length <= maxQuestionChars) text += chunk.toString('latin1')
    else resolve(undefined)
  })
  request.on('end', () => resolve(text.length > maxQuestionChars ? undefined : text))
  request.on('error', reject)
  // A client that left in the middle; nobody reads the answer.
  request.on('close', () => resolve(undefined))
  return promise
}

/** The words of `postern inspect`, for bytes in hexadecimal or for a line of version 1 as it is read. */
export function inspectText(question: string): { readonly text: string } | { readonly error: string } {
  const bytes = bytesOf(question)
  if (bytes === undefined)
    return { error: 'it is neither pairs of hexadecimal digits nor a line that begins with PROXY' }
  return { text: headerText(explainHeader(bytes), bytes) }
}

function bytesOf(question: string): Buffer | undefined {
  if (/^\s*PROXY/.test(question)) {
    // A form has line ends of its own; a header has CRLF.
    return Buffer.from(`${question.trim().replaceAll(/\r?\n/g, '\r\n')}\r\n`, 'latin1')
  }
  const digits = question.replaceAll(/0x|[\s:,]/g, '')
  return /^(?:[0-9A-Fa-f]{2})+$/.test(digits) ? Buffer.from(digits, 'hex') : undefined
}
