import type { Duplex } from 'node:stream'
import { limits } from '../limits.ts'
import { throwAway } from '../session/throw-away.ts'

/**
 * Says the last words and closes. Closing with unread input resets the connection, and the words would be lost with it:
 * so our half is closed, what the client still sends is thrown away, and it has a while to close its own. Without words
 * it is closed at once.
 *
 * @param words - octets, line end included.
 * @returns when the connection is gone. Never rejects; whoever has the stream listens to its errors.
 */
export function sayGoodbye(stream: Duplex, words: string): Promise<void> {
  if (stream.closed) return Promise.resolve()
  const { promise, resolve } = Promise.withResolvers<void>()
  stream.once('close', () => resolve())
  if (words === '' || stream.destroyed || !stream.writable) {
    stream.destroy()
    return promise
  }
  const giveUp = setTimeout(() => stream.destroy(), limits.lingerMs)
  stream.once('close', () => clearTimeout(giveUp))
  stream.end(words)
  throwAway(stream)
  return promise
}
