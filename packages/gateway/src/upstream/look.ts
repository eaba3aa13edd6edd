/* One look at one backend, as its upstream's protocol has it: for nobody, and nothing is left behind. */
import { inspectBackend, patienceOfRfc5321, type Announcement, type InspectOptions } from '@postern/smtp'
import type { BackendAddress } from '../config/backend-address.ts'
import type { UpstreamConfig } from '../config/schema.ts'
import { limits } from '../limits.ts'
import { dial } from './dial.ts'
import { tlsOptionsOf } from './tls-options.ts'

export type Look =
  /** Keywords or capabilities, with their parameters: `SIZE 1000`. */
  | { readonly ok: true; readonly offers: readonly string[]; readonly isSecure: boolean }
  | { readonly ok: false; readonly reason: string }

/** @param hostname - said in EHLO. */
export function look(
  config: UpstreamConfig,
  address: BackendAddress,
  hostname: string,
  timeoutMs: number,
): Promise<Look> {
  return config.protocol === 'imap'
    ? lookByImap(config, address, timeoutMs)
    : lookBySmtp(config, address, hostname, timeoutMs)
}

async function lookBySmtp(
  config: UpstreamConfig,
  address: BackendAddress,
  hostname: string,
  timeoutMs: number,
): Promise<Look> {
  const inspection = await inspectBackend(address, {
    ...relayOptionsOf(config, hostname),
    limits: {
      openingPatienceMs: timeoutMs,
      connectPatienceMs: timeoutMs,
      greetingPatienceMs: timeoutMs,
      tlsPatienceMs: timeoutMs,
      replyPatienceMs: timeoutMs,
    },
  })
  if (!inspection.ok) return { ok: false, reason: `${inspection.failure.code}: ${inspection.failure.detail}` }
  const { capabilities, isSecure } = inspection.report
  return { ok: true, isSecure, offers: [...capabilities].map((words) => words.flat().join(' ')) }
}

/** What the relay and a look at its backends have in common. */
export function relayOptionsOf(config: UpstreamConfig, hostname: string): InspectOptions {
  const { tls, announce } = config
  return {
    protocol: config.protocol === 'lmtp' ? 'lmtp' : 'smtp',
    hostname,
    tls: tls.mode,
    tlsOptions: tlsOptionsOf(tls),
    ...(tls.fingerprints === undefined ? {} : { pinnedFingerprints: tls.fingerprints }),
    announcement: isSmtpAnnouncement(announce) ? announce : 'none',
    isAnnouncementOptional: config.isAnnouncementOptional,
    maxProxyHeaderBytes: config.maxHeaderBytes,
    hasProxyChecksum: config.hasHeaderChecksum,
    ...(config.timeouts === 'rfc5321' ? { limits: patienceOfRfc5321 } : {}),
  }
}

function isSmtpAnnouncement(announce: UpstreamConfig['announce']): announce is Announcement {
  return announce !== 'received' && announce !== 'imap-id'
}

/** RFC 9051 section 7.1: `* OK` and, mostly, its capabilities. BYE, PREAUTH and anything else is no server to sign in at. */
async function lookByImap(config: UpstreamConfig, address: BackendAddress, timeoutMs: number): Promise<Look> {
  const { announce } = config
  const signal = AbortSignal.timeout(timeoutMs)
  const header = announce === 'proxy-v2' ? ({ version: 2, command: 'local' } as const) : undefined
  const dialled = await dial(address, {
    config,
    // Version 1 has no LOCAL that every receiver takes.
    header: announce === 'proxy-v1' ? { version: 1, command: 'unknown' } : header,
    timeoutMs,
    signal,
  })
  if (!dialled.ok) return { ok: false, reason: dialled.detail }
  const { socket, isSecure } = dialled
  try {
    const lines = linesOf(socket, signal)
    const greeting = (await lines.next()).value ?? ''
    if (!/^\* OK\b/i.test(greeting)) return { ok: false, reason: `greeting: ${greeting || 'none'}` }
    socket.write('p CAPABILITY\r\n')
    for await (const line of lines) {
      const offered = /^\* CAPABILITY (.*)$/i.exec(line)?.[1]
      if (offered !== undefined) {
        socket.end('q LOGOUT\r\n')
        return { ok: true, isSecure, offers: offered.toUpperCase().split(' ') }
      }
      if (/^\* BYE\b|^p /i.test(line)) return { ok: false, reason: `CAPABILITY: ${line}` }
    }
    return { ok: false, reason: 'it closed the connection' }
  } catch (error) {
    return { ok: false, reason: signal.aborted ? 'not in time' : (error as Error).message }
  } finally {
    // LOGOUT is a courtesy; nobody waits for what is said to it.
    setTimeout(() => socket.destroy(), limits.lookFarewellMs).unref()
  }
}

/** The lines of a dialogue, bounded; rejects when the signal is aborted. */
async function* linesOf(socket: AsyncIterable<Buffer>, signal: AbortSignal): AsyncGenerator<string, undefined> {
  const aborted = new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true })
  })
  aborted.catch(() => {})
  const chunks = socket[Symbol.asyncIterator]()
  let text = ''
  for (;;) {
    const chunk = await Promise.race([chunks.next(), aborted])
    if (chunk.done === true) return undefined
    text += chunk.value.toString('latin1')
    for (let end = text.indexOf('\n'); end !== -1; end = text.indexOf('\n')) {
      yield text.slice(0, end).replace(/\r$/, '')
      text = text.slice(end + 1)
    }
    if (text.length > limits.maxProbeLineBytes) throw new Error('a line without end')
  }
}
