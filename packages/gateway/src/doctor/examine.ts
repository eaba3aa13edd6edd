import { execFile } from 'node:child_process'
import { constants } from 'node:fs'
import { access, lstat, readFile, stat, statfs } from 'node:fs/promises'
import { lookup } from 'node:dns/promises'
import { dirname } from 'node:path'
import { promisify } from 'node:util'
import type { Status } from '../admin/status.ts'
import { formatBindAddress } from '../config/bind-address.ts'
import type { AcmeConfig, BindAddress, CertificateConfig, Config } from '../config/schema.ts'
import { refuseWhenTaken } from '../supervisor/held-sockets.ts'
import {
  judgeAcme,
  judgeBacklog,
  judgeCertificate,
  judgeClock,
  judgeDataDir,
  judgeFileLimit,
  judgeHostname,
  judgePort,
  judgeStatus,
  type Finding,
} from './findings.ts'

/** Looks at everything that a gateway of this configuration depends on; with what a running one tells, when there is one. */
export async function examine({ start, live }: Config, running: Status | undefined): Promise<readonly Finding[]> {
  const challenges = live.acme?.bind === undefined ? [] : [live.acme.bind]
  const binds = [...start.listeners.flatMap(({ bind }) => bind), ...challenges]
  // The status names no address of challenges: a gateway that orders certificates has the one that is configured.
  const answering = running?.acme === undefined ? [] : challenges.map(formatBindAddress)
  const served = running && [...running.listeners.flatMap(({ addresses }) => addresses), ...answering]
  return [
    ...live.certificates.flatMap((certificate) => judgeCertificate(certificate, live.hostname, Date.now())),
    ...(live.acme === undefined ? [] : await examineAcme(live.acme, live.certificates, running)),
    ...binds.map((bind) => judgePort(formatBindAddress(bind), isFree(bind), served)),
    judgeDataDir(start.dataDir, await freeBytes(start.dataDir), live.smtp.maxMessageBytes),
    judgeHostname(live.hostname, await addressesOf(live.hostname)),
    judgeFileLimit(await openFiles(running?.pid), live.limits),
    ...(await backlog()),
    judgeClock(await isClockSynchronized()),
    ...(running === undefined ? [] : judgeStatus(running)),
  ]
}

async function examineAcme(
  acme: AcmeConfig,
  certificates: readonly CertificateConfig[],
  running: Status | undefined,
): Promise<readonly Finding[]> {
  const found = await Promise.all(acme.names.map(async (name) => [name, await addressesOf(name)] as const))
  const hasCome = !certificates.some(({ isPlaceholder }) => isPlaceholder === true)
  return judgeAcme(acme, hasCome, new Map(found), running?.acme)
}

/**
 * What can be written there; or the code of what keeps us. A folder that is not there is made by the first start, in the one
 * above.
 */
async function freeBytes(folder: string): Promise<number | string> {
  try {
    if (!(await stat(folder)).isDirectory()) return 'ENOTDIR'
    await access(folder, constants.W_OK | constants.X_OK)
    const { bavail, bsize } = await statfs(folder)
    return bavail * bsize
  } catch (error) {
    const { code = 'unknown error' } = error as NodeJS.ErrnoException
    if (code !== 'ENOENT' || folder === dirname(folder)) return code
    // A symbolic link that leads nowhere, as to a disk that is not mounted, keeps the folder from being made.
    const isLink = await lstat(folder).then(
      () => true,
      () => false,
    )
    return isLink ? 'ENOTDIR' : freeBytes(dirname(folder))
  }
}

function isFree(bind: BindAddress): true | string {
  try {
    refuseWhenTaken(bind)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? 'unknown error'
  }
}

async function addressesOf(hostname: string): Promise<readonly string[] | string> {
  try {
    return (await lookup(hostname, { all: true })).map(({ address }) => address)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? 'unknown error'
  }
}

/** proc(5). Of the running supervisor, whose workers inherit it; else of a process started from here. */
async function openFiles(pid: number | undefined): Promise<number> {
  const text = await readFile(`/proc/${pid ?? 'self'}/limits`, 'utf8').catch(() => '')
  return Number(/^Max open files\s+(\d+)/m.exec(text)?.[1] ?? Number.POSITIVE_INFINITY)
}

async function backlog(): Promise<readonly Finding[]> {
  const text = await readFile('/proc/sys/net/core/somaxconn', 'utf8').catch(() => undefined)
  return text === undefined ? [] : [judgeBacklog(Number(text))]
}

async function isClockSynchronized(): Promise<boolean | undefined> {
  try {
    const { stdout } = await promisify(execFile)('timedatectl', ['show', '--property=NTPSynchronized', '--value'])
    return stdout.trim() === '' ? undefined : stdout.trim() === 'yes'
  } catch {
    return undefined
  }
}
