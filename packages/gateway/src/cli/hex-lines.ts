import { explainHeader, limits as protocol, type HeaderRecord } from '@postern/core'
import type { GatewayErrorCode } from '../errors.ts'

/** A record of `inspect --lines`: that of the header, or why the line is none. */
export type LineRecord = Omit<HeaderRecord, 'code'> & { readonly code: HeaderRecord['code'] | GatewayErrorCode }

/**
 * Reads hexadecimal text, a header a line, in chunks of any size, and gives one record for each line, in order. White
 * space within a line means nothing. No line is too long: bytes beyond the protocol's largest header are checked to be
 * hexadecimal and let go, so memory is one header whatever comes.
 */
export class HexLines {
  #digits = ''
  #digitCount = 0
  /** Character of the line, from 1, that is no digit. */
  #strangeAt: number | undefined
  #column = 0

  /** The records of the lines that end in this chunk. */
  push(chunk: string): LineRecord[] {
    const parts = chunk.split('\n')
    const open = parts.pop() ?? ''
    const records = parts.map((part) => {
      this.#take(part)
      return this.#finish()
    })
    this.#take(open)
    return records
  }

  /** The last line, when it has no line end. */
  end(): LineRecord[] {
    return this.#column === 0 ? [] : [this.#finish()]
  }

  #take(part: string): void {
    const digits = part.replaceAll(/\s/g, '')
    if (this.#strangeAt === undefined && /[^0-9A-Fa-f]/.test(digits)) {
      this.#strangeAt = this.#column + part.search(/[^0-9A-Fa-f\s]/) + 1
    }
    this.#column += part.length
    this.#digitCount += digits.length
    const room = maxDigits - this.#digits.length
    if (room > 0) this.#digits += digits.slice(0, room)
  }

  #finish(): LineRecord {
    const record = this.#judge()
    this.#digits = ''
    this.#digitCount = 0
    this.#strangeAt = undefined
    this.#column = 0
    return record
  }

  #judge(): LineRecord {
    if (this.#strangeAt !== undefined) return notHex(`character ${this.#strangeAt} of the line is no hexadecimal digit`)
    if (this.#digitCount % 2 === 1) return notHex(`${this.#digitCount} digits: a byte has two`)
    return explainHeader(Buffer.from(this.#digits, 'hex'))
  }
}

const maxDigits = 2 * protocol.largestHeaderBytes

/** An empty input has nothing decoded: the fields of its record are those of every record without a header. */
const undecoded = explainHeader(Buffer.alloc(0))

function notHex(reason: string): LineRecord {
  return { ...undecoded, status: 'invalid', code: 'GATEWAY_NOT_HEX', reason: `The line is not hexadecimal: ${reason}.` }
}
