/** A reply (RFC 5321 §4.2). */
export interface Reply {
  /** 200 to 599. */
  readonly code: number
  /** RFC 2034 and RFC 3463, as in `5.5.1`; its class is that of `code`. */
  readonly enhanced?: string
  /** At least one, without line ends. */
  readonly lines: readonly string[]
}

/**
 * Text of a reply: printable ASCII, or UTF-8 for SMTPUTF8 (RFC 6531 §3.7.4.2). Everything that could end a line or act
 * on a terminal is a space, so that words from a configuration, a backend or a client cannot become a second reply.
 */
function onOneLine(text: string): string {
  return text.replaceAll(/[\p{Cc}\u2028\u2029]+/gu, ' ')
}

const encodedOnce = new WeakMap<Reply, string>()

/** A reply that is always the same is encoded once. */
export function constantReply(reply: Reply): Reply {
  const constant = Object.freeze({ ...reply, lines: Object.freeze([...reply.lines]) })
  encodedOnce.set(constant, encode(constant))
  return constant
}

/**
 * RFC 5321 §4.2: Reply-line = *( Reply-code "-" [ textstring ] CRLF ) Reply-code [ SP textstring ] CRLF
 *
 * The enhanced code stands on every line (RFC 2034 §4).
 */
export function encodeReply(reply: Reply): string {
  return encodedOnce.get(reply) ?? encode(reply)
}

function encode(reply: Reply): string {
  const prefix = reply.enhanced === undefined ? '' : `${reply.enhanced} `
  const last = reply.lines.length - 1
  if (last === 0) return `${reply.code} ${prefix}${onOneLine(reply.lines[0] ?? '')}\r\n`
  return reply.lines
    .map((line, index) => `${reply.code}${index === last ? ' ' : '-'}${prefix}${onOneLine(line)}\r\n`)
    .join('')
}
