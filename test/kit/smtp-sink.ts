import { chmodSync } from 'node:fs'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { listens, messagesIn } from './daemon.ts'
import { temporaryFolder } from './folder.ts'
import { eventually } from './patience.ts'
import { requirePeer } from './peers.ts'
import { freePort } from './ports.ts'
import { start } from './run.ts'

export interface SmtpSink {
  readonly host: '127.0.0.1'
  readonly port: number
  /** The messages taken so far, each with what its client said, as X-Client-Addr and X-Rcpt-Args. */
  readonly messages: () => readonly string[]
}

/** Runs Postfix's test server, with these arguments that make it misbehave; it ends with the test. */
export async function startSmtpSink(...args: readonly string[]): Promise<SmtpSink> {
  requirePeer('smtp-sink')
  const folder = temporaryFolder('smtp-sink')
  chmodSync(folder, 0o777)
  const port = await freePort()
  // It will not run as root.
  const user = process.getuid?.() === 0 ? ['-u', 'nobody'] : []
  const child = start('smtp-sink', [...user, ...args, '-d', join(folder, '%H%M%S.'), `127.0.0.1:${port}`, '100'])
  onTestFinished(() => {
    child.kill()
  })
  await eventually('smtp-sink to listen', () => {
    if (child.exitCode !== null) throw new Error(`smtp-sink ended with ${child.exitCode}`)
    return listens(port)
  })
  return {
    host: '127.0.0.1',
    port,
    messages: () => messagesIn(folder),
  }
}
