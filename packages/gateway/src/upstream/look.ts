/* One look at one backend, as its upstream's protocol has it: for nobody, and nothing is left behind. */
import { inspectBackend, patienceOfRfc5321, type Announcement, type InspectOptions } from '@postern/smtp'
import { inspectImapBackend, type BackendLink } from '@postern/imap'
import { formatBackendAddress, type BackendAddress } from '../config/backend-address.ts'
import type { UpstreamConfig } from '../config/schema.ts'
import { limits } from '../limits.ts'
import { dial, secure, type Dialled } from './dial.ts'
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

async function lookByImap(config: UpstreamConfig, address: BackendAddress, timeoutMs: number): Promise<Look> {
  const { announce, tls } = config
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
  const inspection = await inspectImapBackend(lookedAt(dialled, address, config), tls.mode, signal)
  // LOGOUT is a courtesy; nobody waits long for what is said to it.
  setTimeout(() => dialled.socket.destroy(), limits.lookFarewellMs).unref()
  if (!inspection.ok) return { ok: false, reason: inspection.detail }
  const { capabilities, isSecure } = inspection
  return { ok: true, isSecure, offers: capabilities.map((name) => name.toUpperCase()) }
}

function lookedAt(
  { socket, isSecure }: Extract<Dialled, { readonly ok: true }>,
  address: BackendAddress,
  config: UpstreamConfig,
): BackendLink {
  return {
    backend: formatBackendAddress(address),
    socket,
    isSecure,
    secure: async (signal) => {
      const secured = await secure(socket, address, config, signal)
      return secured.ok ? { ok: true, link: lookedAt(secured, address, config) } : secured
    },
    succeeded: () => {},
    failed: () => socket.destroy(),
  }
}
