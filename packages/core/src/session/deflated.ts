import { Duplex } from 'node:stream'
import { constants, createDeflateRaw, createInflateRaw } from 'node:zlib'

/**
 * A window of 8 KiB and little state: 184 KiB for each connection with the stream's buffers, where the defaults of zlib take
 * 330, for text that comes out 6 % larger. The other direction, whose window the client chooses, takes 145 more.
 */
const economy = { windowBits: 13, memLevel: 5 }

/**
 * The stream over which both sides send DEFLATE without a header (RFC 1951, as RFC 4978 section 3 has it). It takes `under`
 * over: ends, errors and backpressure go through it in both directions, so what comes out of a small chunk is never more
 * than the reader takes at once. Each step's output is flushed, so nothing waits for more.
 */
export function deflated(under: Duplex): Duplex {
  const inflate = createInflateRaw({
    chunkSize: 16_384,
    // A client may leave in the middle of a block.
    finishFlush: constants.Z_SYNC_FLUSH,
  })
  const deflate = createDeflateRaw({ ...economy, chunkSize: 16_384 })
  const stream = new Duplex({
    read: () => void inflate.resume(),
    writev: (chunks: readonly { readonly chunk: Buffer }[], done) => {
      for (const { chunk } of chunks) deflate.write(chunk)
      deflate.flush(constants.Z_SYNC_FLUSH, () => {
        done()
      })
    },
    final: (done) => {
      deflate.end()
      deflate.once('end', () => under.end(done))
    },
    destroy: (error, done) => {
      for (const part of [under, inflate, deflate]) part.destroy()
      done(error)
    },
  })
  const fail = (error: Error): void => void stream.destroy(error)
  for (const part of [under, inflate, deflate]) part.on('error', fail)
  under.once('close', () => stream.destroy())
  under.pipe(inflate)
  // Not the end: it is awaited above, when our last octets are out.
  deflate.pipe(under, { end: false })
  inflate.on('data', (chunk: Buffer) => {
    if (!stream.push(chunk)) inflate.pause()
  })
  inflate.once('end', () => stream.push(null))
  inflate.pause()
  return stream
}
