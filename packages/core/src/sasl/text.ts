import { isUtf8 } from 'node:buffer'

const base64 = /^(?:[A-Za-z\d+/]{4})*(?:[A-Za-z\d+/]{2}==|[A-Za-z\d+/]{3}=)?$/

/** RFC 4648 section 4, strictly: padded, one spelling for each value, and nothing read around as Node does. */
export function decodeBase64(text: string): Buffer | undefined {
  if (!base64.test(text)) return undefined
  const bytes = Buffer.from(text, 'base64')
  return bytes.toString('base64') === text ? bytes : undefined
}

export function encodeBase64(text: string | Buffer): string {
  return Buffer.from(text).toString('base64')
}

/** UTF-8, and nothing else. */
export function decodeUtf8(bytes: Buffer): string | undefined {
  return isUtf8(bytes) ? bytes.toString() : undefined
}

/** NUL parts fields, and CR and LF end lines wherever a name or a password may be handed on. */
export function isOneLine(text: string): boolean {
  return !/[\0\r\n]/.test(text)
}
