import { randomFillSync } from 'node:crypto'

const alphabet = Buffer.from('0123456789abcdefghijklmnopqrstuv', 'latin1')
const idChars = 16
const pool = Buffer.alloc(idChars * 256)
let used = pool.length

/**
 * A connection's id: 16 characters of [0-9a-v], 80 random bits. Random and not counted, so that ids of many workers and
 * many gateways never meet and tell nobody how busy we are. One call to the system's generator serves 256 of them.
 */
export function newConnectionId(): string {
  if (used === pool.length) {
    randomFillSync(pool)
    for (const [at, byte] of pool.entries()) pool[at] = alphabet[byte & 31]!
    used = 0
  }
  used += idChars
  return pool.toString('latin1', used - idChars, used)
}
