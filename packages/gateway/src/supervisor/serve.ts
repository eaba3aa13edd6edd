import type { EventEmitter } from 'node:events'
import { makeMailRoot } from '../destination/mail-root.ts'
import { openLog } from '../observe/logger.ts'
import { Lifecycle } from '../observe/lifecycle.ts'
import { addressesOf, holdSockets, releaseUnused } from './held-sockets.ts'
import { dropPrivileges } from './privileges.ts'
import { awaitPredecessor } from './succession.ts'
import { Supervisor, type ServeOptions } from './supervisor.ts'
import { passedSockets } from './systemd.ts'

/**
 * Runs the gateway until it is told to stop. This process holds the sockets, starts and watches the workers, and keeps
 * the counts that must hold for the machine; it never reads a byte of mail.
 *
 * @returns the exit status: 0 after a graceful stop; 1 when it could not start, or was told twice to stop.
 */
export async function serve(options: ServeOptions): Promise<number> {
  const { config } = options
  const sink = openLog(config.live.logLevel, { process: 'supervisor', pid: process.pid })
  const log = new Lifecycle(sink.logger)
  for (const warning of options.warnings) log.configWarning(warning)
  const endOutliving = outliveRejections(process, log)
  let supervisor: Supervisor | undefined
  try {
    const predecessor = await awaitPredecessor()
    const { start } = config
    const addresses = addressesOf(start)
    const given = predecessor?.held(start.workers) ?? passedSockets(addresses, start.workers)
    const held = holdSockets(addresses, start.workers, given)
    releaseUnused(given, held)
    supervisor = new Supervisor(options, held, log, predecessor)
    await supervisor.openAdmin(start.admin)
    await supervisor.openChallenges()
    // Ports are bound, keys are read: from here on nothing needs what only root may.
    if (start.user !== undefined) await dropPrivileges(start.user)
    await makeMailRoot(start.dataDir)
    return await supervisor.run()
  } catch (error) {
    log.failed(error as Error)
    return 1
  } finally {
    supervisor?.close()
    endOutliving()
    await sink.flush()
  }
}

/**
 * A promise that failed and that nobody waited for is a bug, but of an answer to the operator or of one look at a backend:
 * this process has no mail in its hands, and its end would end all that the workers do. A throw is another thing: then
 * nobody knows in what state it is.
 */
export function outliveRejections(on: EventEmitter, log: Pick<Lifecycle, 'fault'>): () => void {
  const listener = (reason: unknown): void => log.fault(reason)
  on.on('unhandledRejection', listener)
  return () => on.off('unhandledRejection', listener)
}
