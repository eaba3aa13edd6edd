import type { Duplex } from 'node:stream'
import { limits } from '../limits.ts'

/**
 * Reads what still comes behind the last reply and throws it away, so that closing does not reset the reply away. A peer
 * that goes on sending is cut off at `limits.maxLingerBytes`.
 *
 * @param stream - nobody else reads from it any more; how long it may stay open is its owner's matter.
 */
export function throwAway(stream: Duplex): void {
  let bytes = 0
  stream.on('data', (chunk: Buffer) => {
    bytes += chunk.length
    if (bytes > limits.maxLingerBytes) stream.destroy()
  })
  stream.resume()
}
