/* From the tables [listener.NAME] and [proxy] to what they come to: addresses, trust, and keys that must fit each other. */
import { collide, defaultPort, formatBindAddress, knownBindAddress } from './bind-address.ts'
import type { ConfigFile, ListenerTable } from './config-file.ts'
import { formatKeyPath, type KeyPath } from './key-path.ts'
import type { Resolving } from './resolving.ts'
import type {
  AcmeConfig,
  AdminConfig,
  ClientCertificates,
  ListenerConfig,
  ListenerLiveConfig,
  ListenerProxyConfig,
} from './schema.ts'

/** What each listener is from its start on. */
export function listenersOf({ listener }: ConfigFile, { problems }: Pick<Resolving, 'problems'>): ListenerConfig[] {
  const tables = Object.entries(listener)
  if (tables.length === 0 && problems.isSound('listener')) {
    problems.add({ path: ['listener'], expected: 'at least one table [listener.NAME]', found: 'none' })
  }
  return tables.map(([name, { protocol, tls, bind }]) => ({
    name,
    protocol,
    tls,
    bind: [bind].flat().map((text) => knownBindAddress(text, defaultPort(protocol, tls))),
  }))
}

/** What of each listener changes with a reload. */
export function liveListenersOf(
  file: ConfigFile,
  resolving: Pick<Resolving, 'problems' | 'warn'>,
): ListenerLiveConfig[] {
  return Object.entries(file.listener).map(([name, table]) => liveOf(name, table, file, resolving))
}

function liveOf(
  name: string,
  table: ListenerTable,
  file: ConfigFile,
  resolving: Pick<Resolving, 'problems' | 'warn'>,
): ListenerLiveConfig {
  const proxy = proxyOf(name, table, file, resolving)
  const requiresTls = table['require-tls']
  if (requiresTls) judgeRequiredTls(name, table, proxy, resolving)
  return {
    name,
    proxy,
    requiresTls,
    maxConnections: table['max-connections'],
    signIn: table['sign-in'],
    whenBackendsDown: table['when-backends-down'],
    clientCertificates: clientCertificatesOf(name, file),
  }
}

function judgeRequiredTls(
  name: string,
  { protocol, tls }: ListenerTable,
  { mode, tlsNetworks }: ListenerProxyConfig,
  { problems }: Pick<Resolving, 'problems'>,
): void {
  const path: KeyPath = ['listener', name, 'require-tls']
  const found = `true, with protocol = "${protocol}" and tls = "${tls}"`
  if (protocol === 'imap') {
    problems.add({
      path,
      expected: 'a listener for SMTP or LMTP: IMAP never takes a login in the clear',
      found,
    })
  } else if (tls === 'off' && (mode === 'off' || tlsNetworks?.length === 0)) {
    const expected = 'TLS here (`tls`), or balancers that tell of theirs (`proxy.mode`, `proxy.tls-networks`)'
    problems.add({ path, expected, found })
  }
}

/** Nobody is asked where TLS does not end. */
export function clientCertificatesOf(name: string, { listener, tls }: ConfigFile): ClientCertificates {
  const table = listener[name]
  return table === undefined || table.tls === 'off'
    ? 'off'
    : (table['client-certificates'] ?? tls['client-certificates'])
}

function proxyOf(
  name: string,
  { proxy: own }: ListenerTable,
  { proxy }: ConfigFile,
  { problems, warn }: Pick<Resolving, 'problems' | 'warn'>,
): ListenerProxyConfig {
  const trustedNetworks = own['trusted-networks'] ?? proxy['trusted-networks']
  const mode = own.mode ?? (trustedNetworks.length > 0 ? 'mixed' : 'off')
  const pathOfList: KeyPath = ['listener', name, 'proxy', 'trusted-networks']
  const isListSound = problems.isSound(...pathOfList) && problems.isSound('proxy', 'trusted-networks')
  if (mode !== 'off' && trustedNetworks.length === 0 && isListSound) {
    const expected = `the networks of the balancers, since mode "${mode}" takes headers only from trusted networks`
    problems.add({ path: pathOfList, expected, found: 'none, here and in [proxy]' })
  }
  const { 'tls-networks': tlsNetworks } = own
  if (mode === 'off' && tlsNetworks !== undefined) {
    warn(['listener', name, 'proxy', 'tls-networks'], 'nobody sends a header here: the mode is "off"')
  }
  return {
    mode,
    trustedNetworks,
    ...(tlsNetworks !== undefined && { tlsNetworks }),
    headerTimeoutMs: proxy['header-timeout'],
    maxHeaderBytes: proxy['max-header-bytes'],
    optionalWaitMs: own['optional-wait'],
    refusesSecondHeader: own['refuse-second-header'],
  }
}

interface Bound {
  readonly listeners: readonly ListenerConfig[]
  readonly admin: AdminConfig
  readonly acme: AcmeConfig | undefined
}

/** No two places of the gateway are the same. */
export function refuseCollisions(
  { listeners, admin, acme }: Bound,
  file: ConfigFile,
  { problems }: Pick<Resolving, 'problems'>,
): void {
  const places = listeners.flatMap(({ name, bind }) =>
    bind.map((address, index) => {
      const isList = Array.isArray(file.listener[name]?.bind)
      return { address, path: ['listener', name, 'bind', ...(isList ? [index] : [])] as KeyPath }
    }),
  )
  if (admin.bind !== undefined) places.push({ address: admin.bind, path: ['admin', 'bind'] })
  if (acme?.bind !== undefined) places.push({ address: acme.bind, path: ['tls', 'acme', 'bind'] })
  for (const [index, place] of places.entries()) {
    const earlier = places.slice(0, index).find(({ address }) => collide(address, place.address))
    if (earlier === undefined) continue
    problems.add({
      path: place.path,
      expected: 'an address and port that nothing else of this gateway has',
      found: `${formatBindAddress(place.address)}, but ${formatKeyPath(earlier.path)} has ${formatBindAddress(earlier.address)}`,
    })
  }
}
