/* From the tables [upstream.NAME] to what they come to: addresses, files, and keys that must fit each other. */
import { X509Certificate } from 'node:crypto'
import { clientLimits } from '@postern/smtp'
import {
  defaultBackendPort,
  formatBackendAddress,
  parseBackendAddress,
  type BackendAddress,
} from './backend-address.ts'
import { readCertificate } from './certificate-files.ts'
import type { UpstreamTable } from './config-file.ts'
import type { KeyPath } from './key-path.ts'
import { readTextFile } from './read-file.ts'
import type { Resolving } from './resolving.ts'
import type { Announce, BackendConfig, UpstreamConfig, UpstreamTlsConfig } from './schema.ts'

export async function resolveUpstreams(
  tables: Readonly<Record<string, UpstreamTable>>,
  resolving: Resolving,
): Promise<UpstreamConfig[]> {
  return Promise.all(
    Object.entries(tables).map(async ([name, table]) => {
      const tls = await tlsOf(name, table, resolving)
      const master = await masterOf(name, table, resolving)
      const announce = announceOf(name, table, resolving)
      const idle = idleOf(name, table, announce, resolving)
      return {
        name,
        protocol: table.protocol,
        backends: backendsOf(name, table, resolving),
        balance: table.balance,
        announce,
        isAnnouncementOptional: table['announce-optional'],
        maxHeaderBytes: table['max-header-bytes'],
        passedTlvs: table['pass-tlvs'],
        hasHeaderChecksum: table['header-checksum'],
        tls,
        maxConnections: table['max-connections'],
        ...(idle === undefined ? {} : { idle }),
        sendsCredentialsInClear: table['credentials-in-clear'],
        ...(master === undefined ? {} : { master }),
        ...(table['sign-in-mechanisms'] === undefined ? {} : { signInMechanisms: table['sign-in-mechanisms'] }),
        slowStartMs: table['slow-start'] === 'off' ? 0 : table['slow-start'],
        timeouts: table.timeouts,
        health: {
          isChecked: table.health.check,
          intervalMs: table.health.interval,
          timeoutMs: table.health.timeout,
          rise: table.health.rise,
          fall: table.health.fall,
        },
      }
    }),
  )
}

function backendsOf(
  name: string,
  { protocol, tls, backends }: UpstreamTable,
  { problems }: Resolving,
): BackendConfig[] {
  const found = backends.map((entry): BackendConfig => {
    const table = typeof entry === 'string' ? { address: entry, weight: 1, backup: false } : entry
    const address = addressOf(table.address, defaultBackendPort(protocol, tls === 'implicit'))
    const own = table.name === undefined ? {} : { name: table.name.toLowerCase() }
    return { address, ...own, weight: table.weight, isBackup: table.backup }
  })
  const names = found.map(({ address }) => formatBackendAddress(address))
  for (const [index, written] of names.entries()) {
    if (names.indexOf(written) === index) continue
    const path: KeyPath = ['upstream', name, 'backends', index]
    problems.add({ path, expected: 'each backend once; a larger share is a weight', found: `${written} again` })
  }
  for (const [index, { name: own }] of found.entries()) {
    if (own === undefined || found.findIndex((backend) => backend.name === own) === index) continue
    const path: KeyPath = ['upstream', name, 'backends', index, 'name']
    problems.add({ path, expected: 'a name that no other backend has', found: `"${own}" again` })
  }
  if (found.every(({ isBackup }) => isBackup)) {
    const path: KeyPath = ['upstream', name, 'backends']
    problems.add({ path, expected: 'at least one that is no backup', found: 'backups only' })
  }
  return found
}

function addressOf(text: string, port: number): BackendAddress {
  const address = parseBackendAddress(text)
  if (address === undefined) throw new TypeError(`${text} passed the schema, but is no address`)
  return 'path' in address ? address : { port, ...address }
}

const announcementsOf: Readonly<Record<UpstreamTable['protocol'], readonly Announce[]>> = {
  smtp: ['received', 'none', 'proxy-v1', 'proxy-v2', 'xclient', 'xforward'],
  lmtp: ['received', 'none', 'proxy-v1', 'proxy-v2', 'xclient', 'xforward'],
  imap: ['none', 'proxy-v1', 'proxy-v2', 'imap-id'],
}

function announceOf(name: string, table: UpstreamTable, { problems, warn }: Resolving): Announce {
  const possible = announcementsOf[table.protocol]
  const announce = table.announce ?? possible[0] ?? 'none'
  if (!possible.includes(announce)) {
    const expected = `a way that ${table.protocol} has: ${possible.map((word) => `"${word}"`).join(', ')}`
    problems.add({ path: ['upstream', name, 'announce'], expected, found: `"${announce}"` })
  }
  if (announce !== 'proxy-v2' && (table['pass-tlvs'].length > 0 || table['header-checksum'])) {
    const key = table['pass-tlvs'].length > 0 ? 'pass-tlvs' : 'header-checksum'
    problems.add({
      path: ['upstream', name, key],
      expected: 'nothing, unless announce = "proxy-v2"',
      found: `announce = "${announce}"`,
    })
  }
  if (table['announce-optional'] && announce !== 'xclient' && announce !== 'xforward' && announce !== 'imap-id') {
    warn(['upstream', name, 'announce-optional'], `announce = "${announce}" asks the backend for nothing it could lack`)
  }
  return announce
}

/** A connection that announced a client, or is a user's, serves nobody else. */
function idleOf(
  name: string,
  { protocol, 'idle-connections': connections, 'idle-time': timeMs }: UpstreamTable,
  announce: Announce,
  { problems }: Resolving,
): UpstreamConfig['idle'] {
  const carriesNobody = announce === 'received' || announce === 'none' || announce === 'xforward'
  if (protocol !== 'imap' && carriesNobody && connections !== 'off') {
    return {
      maxConnections: connections ?? clientLimits.maxIdleConnections,
      timeMs: timeMs ?? clientLimits.idlePatienceMs,
    }
  }
  for (const [key, written] of Object.entries({ 'idle-connections': connections, 'idle-time': timeMs })) {
    if (written === undefined || written === 'off') continue
    const expected =
      'nothing, unless connections are kept: SMTP or LMTP with announce = "received", "none" or "xforward"'
    const found =
      protocol === 'imap' ? 'protocol = "imap"' : connections === 'off' ? '"off"' : `announce = "${announce}"`
    problems.add({ path: ['upstream', name, key], expected, found })
  }
  return undefined
}

async function tlsOf(name: string, table: UpstreamTable, resolving: Resolving): Promise<UpstreamTlsConfig> {
  const { tls: mode, 'tls-server-name': serverName, 'tls-fingerprints': fingerprints } = table
  const { problems } = resolving
  if (mode === 'off') {
    for (const key of tlsKeys) {
      if (table[key] === undefined) continue
      problems.add({ path: ['upstream', name, key], expected: 'nothing, unless TLS is spoken', found: 'tls = "off"' })
    }
    return { mode }
  }
  if (mode === 'optional' && table['tls-ca'] !== undefined) {
    const expected = 'tls = "starttls" or "implicit", since "optional" takes any certificate'
    problems.add({ path: ['upstream', name, 'tls-ca'], expected, found: 'tls = "optional"' })
  }
  if (table.protocol === 'lmtp' && mode === 'implicit') {
    resolving.warn(['upstream', name, 'tls'], 'LMTP has no port for implicit TLS: the backend must be made for it')
  }
  const ca = mode === 'optional' ? undefined : await caOf(name, table, resolving)
  const certificate = await certificateOf(name, table, resolving)
  return {
    mode,
    ...(ca === undefined ? {} : { ca }),
    ...(serverName === undefined ? {} : { serverName: serverName.toLowerCase() }),
    ...(fingerprints === undefined
      ? {}
      : { fingerprints: fingerprints.map((print) => print.replaceAll(':', '').toLowerCase()) }),
    ...(certificate === undefined ? {} : { certificate }),
  }
}

async function masterOf(
  name: string,
  { protocol, 'master-user': username, 'master-password-file': passwordFile }: UpstreamTable,
  { problems, secretIn }: Resolving,
): Promise<UpstreamConfig['master']> {
  for (const [key, written] of Object.entries({ 'master-user': username, 'master-password-file': passwordFile })) {
    if (protocol === 'imap' || written === undefined) continue
    const path: KeyPath = ['upstream', name, key]
    problems.add({ path, expected: 'nothing, unless protocol = "imap"', found: `protocol = "${protocol}"` })
  }
  const password = await secretIn(passwordFile, ['upstream', name, 'master-password-file'])
  if ((username === undefined) !== (passwordFile === undefined)) {
    const missing = username === undefined ? 'master-user' : 'master-password-file'
    const found = `only ${username === undefined ? 'master-password-file' : 'master-user'}`
    problems.add({ path: ['upstream', name, missing], expected: 'both master-user and master-password-file', found })
  }
  return username === undefined || password === undefined ? undefined : { username, password }
}

const tlsKeys = ['tls-ca', 'tls-server-name', 'tls-fingerprints', 'tls-cert', 'tls-key'] as const

async function caOf(name: string, table: UpstreamTable, { problems, path }: Resolving): Promise<string | undefined> {
  if (table['tls-ca'] === undefined) return undefined
  const file = path(table['tls-ca'])
  const reading = await readTextFile(file)
  const keyPath: KeyPath = ['upstream', name, 'tls-ca']
  if (!reading.ok) {
    problems.add({ path: keyPath, expected: 'a file that can be read', found: `${file}: ${reading.reason}` })
    return undefined
  }
  if (holdsCertificate(reading.text)) return reading.text
  problems.add({ path: keyPath, expected: 'a certificate in PEM', found: `${file}, which holds none` })
  return undefined
}

function holdsCertificate(pem: string): boolean {
  try {
    return new X509Certificate(pem).raw.length > 0
  } catch {
    return false
  }
}

async function certificateOf(
  name: string,
  table: UpstreamTable,
  { problems, warn, path }: Resolving,
): Promise<UpstreamTlsConfig['certificate']> {
  const { 'tls-cert': cert, 'tls-key': key } = table
  if (cert === undefined && key === undefined) return undefined
  if (cert === undefined || key === undefined) {
    const missing = cert === undefined ? 'tls-cert' : 'tls-key'
    const found = `only ${cert === undefined ? 'tls-key' : 'tls-cert'}`
    problems.add({ path: ['upstream', name, missing], expected: 'both tls-cert and tls-key', found })
    return undefined
  }
  const [certFile, keyFile] = [path(cert), path(key)]
  const reading = await readCertificate(certFile, keyFile)
  if (!reading.ok) {
    for (const { of, ...problem } of reading.problems) {
      problems.add({ path: ['upstream', name, of === 'cert' ? 'tls-cert' : 'tls-key'], ...problem })
    }
    return undefined
  }
  for (const message of reading.warnings) warn(['upstream', name, 'tls-cert'], message)
  return { certFile, keyFile, cert: reading.cert, key: reading.key }
}
