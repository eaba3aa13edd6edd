/*
 * What is judged, apart from where it was read: each judgement is one line, and one that is not `ok` says what to change.
 */
import { X509Certificate } from 'node:crypto'
import type { AcmeStatus } from '../acme/keeper.ts'
import { placeOf } from '../acme/place.ts'
import type { Status } from '../admin/status.ts'
import { namesOf } from '../accept/tls.ts'
import type { AcmeConfig, CertificateConfig, LimitsConfig } from '../config/schema.ts'
import { formatBytes } from '../config/units.ts'
import { limits } from '../limits.ts'

export interface Finding {
  /** `wrong` stops mail, now or soon; `advice` may. */
  readonly verdict: 'ok' | 'advice' | 'wrong'
  readonly about: string
  readonly text: string
}

const dayMs = 86_400_000

export function judgeCertificate(
  { cert, certFile, isPlaceholder }: CertificateConfig,
  hostname: string,
  now: number,
): Finding[] {
  // What is said of the order for it says all there is.
  if (isPlaceholder === true) return []
  const certificate = new X509Certificate(cert)
  const days = Math.floor((certificate.validToDate.getTime() - now) / dayMs)
  const names = namesOf(certificate)
  const about = `certificate ${certFile}`
  const findings: Finding[] = []
  if (days < 0) {
    findings.push({
      verdict: 'wrong',
      about,
      text: `expired on ${certificate.validTo}: renew it; it is read by itself`,
    })
  } else if (days < limits.certificateWarningDays) {
    findings.push({ verdict: 'advice', about, text: `ends in ${days} days: renew it; it is read by itself` })
  } else {
    findings.push({ verdict: 'ok', about, text: `for ${names.join(', ')}, ${days} days more` })
  }
  if (!certificate.checkHost(hostname)) {
    const text = `is not for server.hostname ${hostname}: clients that verify it go away, unless another one is`
    findings.push({ verdict: 'advice', about, text })
  }
  return findings
}

/** @param open - how many files a process may have open. */
export function judgeFileLimit(open: number, { maxConnectionsPerWorker }: LimitsConfig): Finding {
  const about = 'open files'
  if (maxConnectionsPerWorker === 'unlimited') {
    const text = `${open} for each process, and max-connections-per-worker is unlimited: set it below half of that`
    return { verdict: 'advice', about, text }
  }
  const enough = 2 * maxConnectionsPerWorker
  if (open > enough) return { verdict: 'ok', about, text: `${open} for each process` }
  // Few enough clients fit all the same, and whoever does not is put off and comes again: nothing is wrong yet.
  const text =
    `${open} for each process, and ${maxConnectionsPerWorker} connections (limits.max-connections-per-worker) may take ` +
    `more than ${enough}; over it connections are closed and mail is put off: raise LimitNOFILE, or lower the other`
  return { verdict: 'advice', about, text }
}

export function judgeBacklog(somaxconn: number): Finding {
  const about = 'net.core.somaxconn'
  if (somaxconn >= limits.listenBacklog) return { verdict: 'ok', about, text: `${somaxconn}` }
  const text = `${somaxconn} cuts the queue of each listener, so that a burst is lost: sysctl -w net.core.somaxconn=${limits.listenBacklog}`
  return { verdict: 'advice', about, text }
}

/**
 * A certificate that is ordered by ACME.
 *
 * @param found - addresses of each name; or the code of what went wrong.
 * @param running - how it goes, as a running gateway tells.
 */
export function judgeAcme(
  { names, directory, bind }: AcmeConfig,
  hasCome: boolean,
  found: ReadonlyMap<string, readonly string[] | string>,
  running: AcmeStatus | undefined,
): Finding[] {
  const about = 'tls.acme'
  const findings: Finding[] = []
  for (const [name, addresses] of found) {
    if (typeof addresses !== 'string') continue
    const text = `${name} is not in the DNS (${addresses}): the authority will not find it, and issues nothing`
    findings.push({ verdict: 'wrong', about, text })
  }
  const failure = running?.failure
  if (failure !== undefined) {
    const what = `${failure.inARow === 1 ? 'the last order' : `the last ${failure.inARow} orders`} failed (${failure.cause})`
    // As long as there is a certificate, an order more or less stops nobody.
    findings.push({ verdict: hasCome ? 'advice' : 'wrong', about, text: `${what}: ${failure.mend}` })
  } else if (!hasCome) {
    const where = placeOf({ ...(bind && { bind }) })
    const text = `no certificate for ${names.join(', ')} has come from ${new URL(directory).host} yet; ${
      running === undefined ? 'it is ordered when the gateway runs, and' : 'meanwhile'
    } port 80 of each name must lead to ${where}`
    findings.push({ verdict: 'advice', about, text })
  } else if (findings.length === 0) {
    findings.push({ verdict: 'ok', about, text: 'orders and renews by itself' })
  }
  return findings
}

/** What a running gateway tells of itself. */
export function judgeStatus({ health, identity, workers }: Status): Finding[] {
  const about = 'the running gateway'
  const findings: Finding[] = health.reasons.map((text) => ({ verdict: 'wrong', about, text }))
  for (const { count, mend } of [...identity.untrustedSenders, ...identity.silentPeers]) {
    findings.push({ verdict: 'advice', about, text: `${count} times: ${mend}` })
  }
  for (const { slot, eventLoopDelayMs = 0 } of workers) {
    if (eventLoopDelayMs < limits.lateEventLoopMs) continue
    const text = `worker ${slot} is ${Math.round(eventLoopDelayMs)} ms late: more workers, or more machines`
    findings.push({ verdict: 'advice', about, text })
  }
  if (findings.length === 0) findings.push({ verdict: 'ok', about, text: 'is well' })
  return findings
}

/**
 * @param isFree - whether the address can be bound now.
 * @param served - the addresses of the gateway that answers at `admin.bind`, which may run with another configuration.
 */
export function judgePort(address: string, isFree: true | string, served?: readonly string[]): Finding {
  const about = `port ${address}`
  if (served?.includes(address) === true) return { verdict: 'ok', about, text: 'the gateway serves it' }
  if (isFree === true && served !== undefined) {
    const text =
      'the running gateway does not serve it: reload it; or it is another one, and this one needs its own `admin.bind`'
    return { verdict: 'advice', about, text }
  }
  if (isFree === true) return { verdict: 'ok', about, text: 'can be bound' }
  const mend = isFree === 'EACCES' ? 'a port below 1024 takes CAP_NET_BIND_SERVICE, or root with server.user' : ''
  const taken = isFree === 'EADDRINUSE' ? 'another program has it: stop it, or change `bind`' : ''
  return { verdict: 'wrong', about, text: `cannot be bound (${isFree})${mend || taken ? `: ${mend || taken}` : ''}` }
}

/** @param free - bytes that can be written there; or the code of what keeps us from writing. */
export function judgeDataDir(dataDir: string, free: number | string, maxMessageBytes: number): Finding {
  const about = `server.data-dir ${dataDir}`
  if (typeof free === 'string') {
    const mend = dataDirMends.get(free) ?? 'give it to the user of the service'
    return { verdict: 'wrong', about, text: `cannot be written (${free}): ${mend}` }
  }
  const text = `${Math.floor(free / mebibyte)} MiB are free`
  if (free > limits.lowSpaceMessages * maxMessageBytes) return { verdict: 'ok', about, text }
  const much = `and a message may have ${formatBytes(maxMessageBytes)} (smtp.max-message-size)`
  return {
    verdict: free < maxMessageBytes ? 'wrong' : 'advice',
    about,
    text: `${text}, ${much}: make room, or mail is put off`,
  }
}

const mebibyte = 2 ** 20
const dataDirMends: ReadonlyMap<string, string> = new Map([
  ['ENOTDIR', 'a part of its path is no folder'],
  ['EROFS', 'mount its file system for writing'],
])

/** @param found - addresses of the name; or the code of what went wrong. */
export function judgeHostname(hostname: string, found: readonly string[] | string): Finding {
  const about = `server.hostname ${hostname}`
  if (typeof found !== 'string') return { verdict: 'ok', about, text: `is ${found.join(', ')}` }
  const text = `is not in the DNS (${found}): servers that this one sends to may refuse its greeting`
  return { verdict: 'advice', about, text }
}

/** @param isSynchronized - absent where the system does not say. */
export function judgeClock(isSynchronized: boolean | undefined): Finding {
  const about = 'clock'
  if (isSynchronized === undefined) return { verdict: 'ok', about, text: 'the system does not say who sets it' }
  if (isSynchronized) return { verdict: 'ok', about, text: 'is synchronized' }
  return { verdict: 'advice', about, text: 'is not synchronized: Date and Received will be wrong; switch NTP on' }
}
