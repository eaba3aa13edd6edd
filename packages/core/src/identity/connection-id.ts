import { randomFillSync } from 'node:crypto'

const alphabet = '0123456789abcdefghijklmnopqrstuv'
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
    used = 0
  }
  let id = ''
  for (const end = used + idChars; used < end; used++) id += alphabet[pool[used]! & 31]
  return id
}
