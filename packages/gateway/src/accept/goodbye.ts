import type { Socket } from 'node:net'
import { limits } from '../limits.ts'

/**
 * Says the last words and closes; resolves when the connection is gone. Closing with unread input resets the connection,
 * and the words would be lost with it: so our half is closed, what the client still sends is thrown away, and it has a
 * while to close its own. Without words it is closed at once.
 */
export function sayGoodbye(socket: Socket, words: string): Promise<void> {
  if (socket.closed) return Promise.resolve()
  const { promise, resolve } = Promise.withResolvers<void>()
  socket.once('close', () => resolve())
  if (words === '' || socket.destroyed || !socket.writable) {
    socket.destroy()
    return promise
  }
  const giveUp = setTimeout(() => socket.destroy(), limits.lingerMs)
  socket.once('close', () => clearTimeout(giveUp))
  socket.end(words)
  socket.resume()
  return promise
}
