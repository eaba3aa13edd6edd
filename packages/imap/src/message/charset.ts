/**
 * A decoder for a charset by the name that mail gives it. Unknown names are read as UTF-8 when the octets are that, and
 * as Windows-1252 when they are not: a guess shows most of a text, a refusal shows none of it.
 */
export function decoderFor(charset: string | undefined): TextDecoder {
  const label = charset?.trim().toLowerCase() ?? ''
  if (label === '' || label === 'us-ascii' || label === 'unknown-8bit') return new TextDecoder('utf-8')
  try {
    return new TextDecoder(label)
  } catch {
    return new TextDecoder('utf-8')
  }
}

/** Octets of one piece as text, undeclared 8-bit octets guessed. */
export function decodeOctets(octets: Buffer, charset: string | undefined): string {
  const text = decoderFor(charset).decode(octets)
  const isDeclared = charset !== undefined && !/^(?:us-ascii|unknown-8bit)?$/i.test(charset)
  return text.includes('\ufffd') && !isDeclared ? new TextDecoder('windows-1252').decode(octets) : text
}
