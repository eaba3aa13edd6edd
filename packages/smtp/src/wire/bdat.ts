import { malformed, parsed, type Parsed } from '../errors.ts'

export interface ChunkHeader {
  /** Octets that follow the line. */
  readonly bytes: number
  /** The message ends with them. */
  readonly isLast: boolean
}

const chunkHeader = /^(\d{1,15})(?: +(LAST))?$/i

/**
 * RFC 3030 §4.2: bdat-cmd = "BDAT" SP chunk-size [ SP end-marker ] CR LF; chunk-size = 1*DIGIT, end-marker = "LAST"
 *
 * Fifteen digits are a petabyte, and the last that a number of this language counts without loss.
 *
 * @param argument - what stands behind the verb.
 */
export function parseChunkHeader(argument: string): Parsed<ChunkHeader> {
  const match = chunkHeader.exec(argument)
  if (match === null) return malformed('SMTP_CHUNK')
  return parsed({ bytes: Number(match[1]), isLast: match[2] !== undefined })
}
