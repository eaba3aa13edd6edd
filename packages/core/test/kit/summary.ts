import { formatEndpoint, parseProxyHeader, type ProxyHeader } from '@postern/core'

/** What the parser says, in one line: `more 16`, `bad PROXY_LENGTH at 14`, or `done` with the header's facts. */
export function judge(bytes: Buffer, maxBytes?: number): string {
  const parse = parseProxyHeader(bytes, maxBytes)
  if (parse.status === 'more') return `more ${parse.atLeast}`
  if (parse.status === 'bad') return `bad ${parse.code} at ${parse.at}`
  return `done ${summary(parse.header)}`
}

export function summary(header: ProxyHeader): string {
  const { version, command, family, transport, length, source, destination, unixSource, unixDestination } = header
  const tlvs = [...header.tlvs].map(({ type, value }) => `${type.toString(16)}=${value.toString('hex')}`)
  const ends =
    source === undefined || destination === undefined
      ? [unixSource, unixDestination].flatMap((name) =>
          name === undefined ? [] : [name.toString('latin1').split('\0')[0]],
        )
      : [formatEndpoint(source), formatEndpoint(destination)]
  return [`v${version}`, command, family, transport, length, ...ends, ...tlvs].join(' ')
}
