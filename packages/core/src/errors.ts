/** What the parser can say of bytes that are no valid header. */
export type ProxyErrorCode =
  | 'PROXY_NO_SIGNATURE'
  | 'PROXY_VERSION'
  | 'PROXY_COMMAND'
  | 'PROXY_FAMILY'
  | 'PROXY_LENGTH'
  | 'PROXY_TOO_LONG'
  | 'PROXY_ADDRESS'
  | 'PROXY_PORT'
  | 'PROXY_LINE'
  | 'PROXY_TLV'
  | 'PROXY_CHECKSUM'
  | 'PROXY_TRUNCATED'

/** Everything that can keep a connection from being served for want of a good header. */
export type ProxyRefusalCode =
  | ProxyErrorCode
  | 'PROXY_MISSING'
  | 'PROXY_TIMEOUT'
  | 'PROXY_CLOSED'
  | 'PROXY_SECOND_HEADER'
  | 'PROXY_UNTRUSTED'
  | 'PROXY_OVERLOAD'

/** Why a header is not sent. */
export type ProxySendCode =
  | 'PROXY_SEND_TYPE'
  | 'PROXY_SEND_VALUE'
  | 'PROXY_SEND_PORT'
  | 'PROXY_SEND_UNIX_NAME'
  | 'PROXY_SEND_TOO_LONG'

/**
 * What can be wrong with a PROXY header, each with a sentence for operators. The codes are stable; the sentences may be
 * improved. None of this is ever sent to a client.
 */
export const proxyErrors: Readonly<Record<ProxyRefusalCode | ProxySendCode, string>> = {
  PROXY_NO_SIGNATURE: 'The first bytes are no PROXY header, neither text nor binary.',
  PROXY_VERSION: 'The binary signature is there, but the version is not 2.',
  PROXY_COMMAND: 'The command is neither LOCAL nor PROXY.',
  PROXY_FAMILY: 'The address family or transport is not one that the protocol defines.',
  PROXY_LENGTH: 'The header is too short for the addresses of its family.',
  PROXY_TOO_LONG: 'The header is longer than is allowed here.',
  PROXY_ADDRESS: 'The text header holds an address that is not written as its family demands.',
  PROXY_PORT: 'The text header holds a port that is not a decimal number from 0 to 65535.',
  PROXY_LINE: 'The text header has something else where a single blank or its CRLF belongs.',
  PROXY_TLV: 'A TLV runs past the end of its header, is cut short, or has a length that its type forbids.',
  PROXY_CHECKSUM: 'The CRC32C in the header does not match its bytes.',
  PROXY_TRUNCATED: 'The datagram ends inside its header.',
  PROXY_MISSING: 'The peer must send a PROXY header, and its first bytes are something else.',
  PROXY_TIMEOUT:
    'The peer did not complete its PROXY header in time. A balancer may hold it back until the client speaks.',
  PROXY_CLOSED: 'The connection ended before the PROXY header was complete.',
  PROXY_SECOND_HEADER: 'A second PROXY header follows the first: a balancer passes on one that its client sent.',
  PROXY_UNTRUSTED: 'The peer is in no trusted network, and nobody else is served here.',
  PROXY_OVERLOAD: 'Too many connections are waiting for their header.',
  PROXY_SEND_TYPE: 'A TLV has a type that may not be sent.',
  PROXY_SEND_VALUE: 'A TLV has a value that its type forbids.',
  PROXY_SEND_PORT: 'An endpoint has a port that is not a whole number from 0 to 65535.',
  PROXY_SEND_UNIX_NAME: 'The name of a UNIX socket is longer than 108 bytes.',
  PROXY_SEND_TOO_LONG: 'The header does not fit within its bound.',
}
