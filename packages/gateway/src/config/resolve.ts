/*
 * From a file in which every key has the right type to what the gateway runs by: defaults that depend on other keys,
 * files that are named, and what keys mean together. Each check first asks whether what it looks at was read soundly,
 * so that one mistake is told once.
 */
import { availableParallelism } from 'node:os'
import { resolve } from 'node:path'
import { readToken } from '../admin/token-file.ts'
import { formatBindAddress, isLoopback, knownBindAddress } from './bind-address.ts'
import type { AdminTable, ConfigFile } from './config-file.ts'
import { refuseLoops } from './refuse-loops.ts'
import { accountsOf } from './resolve-accounts.ts'
import { hostNameOf, localDomainsOf } from './local-domains.ts'
import { orderedCertificate, resolveAcme } from './resolve-acme.ts'
import { listenersOf, liveListenersOf, refuseCollisions } from './resolve-listeners.ts'
import { resolveInspection, resolvePolicy } from './resolve-policy.ts'
import { checkSignIn, resolveLookups, resolveRoutes } from './resolve-routes.ts'
import { certificatesOf, clientCaOf, tlsOf } from './resolve-tls.ts'
import { resolveUpstreams } from './resolve-upstreams.ts'
import { resolvingOf, type ConfigSource, type Resolving } from './resolving.ts'
import type {
  AdminConfig,
  Config,
  ConfigOutcome,
  ConfigProblem,
  ConfigWarning,
  ListenerConfig,
  ListenerLiveConfig,
  SmtpConfig,
} from './schema.ts'
import { warnOfTrust } from './warn-of-trust.ts'

export async function resolveConfig(file: ConfigFile, source: ConfigSource): Promise<ConfigOutcome> {
  const warnings: ConfigWarning[] = []
  /** In files that the configuration names. */
  const problemsElsewhere: ConfigProblem[] = []
  const resolving = resolvingOf(source, warnings)
  const config = await configOf(file, source.baseDir, problemsElsewhere, resolving)
  const problems = [...source.problems.located(source.file, source.lines), ...problemsElsewhere]
  return problems.length > 0 ? { ok: false, problems } : { ok: true, config: deepFreeze(config), warnings }
}

/** The part that opens no file. What is wrong is in `source.problems` then. */
export function resolveListeners(
  file: ConfigFile,
  source: ConfigSource,
): { readonly listeners: readonly ListenerConfig[]; readonly live: readonly ListenerLiveConfig[] } {
  const resolving = resolvingOf(source, [])
  return { listeners: listenersOf(file, resolving), live: liveListenersOf(file, resolving) }
}

async function configOf(
  file: ConfigFile,
  baseDir: string,
  problemsElsewhere: ConfigProblem[],
  resolving: Resolving,
): Promise<Config> {
  const { server, log, limits, dns } = file
  const hostName = hostNameOf(server)
  const listeners = listenersOf(file, resolving)
  const admin = await resolveAdmin(adminOf(file.admin, baseDir), resolving)
  const dataDir = resolving.path(server['data-dir'])
  const acme = await resolveAcme(file.tls.acme, { admin, dataDir }, resolving)
  refuseCollisions({ listeners, admin, acme }, file, resolving)
  warnOfTrust(file, resolving)
  const certificates = [
    ...(await certificatesOf(file, listeners, resolving)),
    ...(await orderedCertificate(acme, resolving)),
  ]
  const accounts = await accountsOf(file, listeners, problemsElsewhere, resolving)
  const clientCa = await clientCaOf(file, listeners, resolving)
  const upstreams = await resolveUpstreams(file.upstream, resolving)
  const lookups = resolveLookups(file.lookup, resolving)
  const routes = resolveRoutes(file.route, { upstreams, listeners, lookups: file.lookup }, resolving)
  checkSignIn({ tables: file.listener, upstreams, routes }, resolving)
  refuseLoops({ listeners, upstreams, routes, mayRelayOn: mayRelayOn(file) }, resolving)
  return {
    start: {
      workers: server.workers === 'auto' ? availableParallelism() : server.workers,
      dataDir,
      ...(server.user === undefined ? {} : { user: server.user }),
      listeners,
      admin,
    },
    live: {
      hostname: hostName,
      logLevel: log.level,
      listeners: liveListenersOf(file, resolving),
      certificates,
      tls: tlsOf(file, resolving),
      ...(clientCa === undefined ? {} : { clientCa }),
      ...(acme === undefined ? {} : { acme }),
      accounts,
      upstreams,
      lookups,
      routes,
      smtp: smtpOf(file, resolving),
      imap: { idNetworks: file.imap['id-networks'], mayUnauthenticate: file.imap.unauthenticate },
      dns: {
        servers: dns.servers,
        timeoutMs: dns.timeout,
        tries: dns.tries,
        clientNames: dns['client-names'],
      },
      policy: resolvePolicy(file.policy, file.listener, resolving),
      ...resolveInspection(file, resolving),
      limits: {
        maxConnectionsPerWorker: limits['max-connections-per-worker'],
        workerMemoryBytes: limits['worker-memory'],
        maxTlsHandshakesPerWorker: limits['max-tls-handshakes-per-worker'],
        tlsHandshakeTimeoutMs: limits['tls-handshake-timeout'],
        drainTimeoutMs: limits['drain-timeout'],
        drainNoticeMs: limits['drain-notice'],
        passwordChecksAtOnce: limits['password-checks-at-once'],
        passwordChecksWaiting: limits['password-checks-waiting'],
      },
    },
  }
}

async function resolveAdmin(admin: AdminConfig, { problems, warn }: Resolving): Promise<AdminConfig> {
  const { bind, tokenFile } = admin
  const token = tokenFile === undefined ? undefined : await readToken(tokenFile)
  if (token?.ok === false) {
    const found = `${tokenFile}: ${token.reason}`
    problems.add({ path: ['admin', 'token-file'], expected: 'a file with a token', found })
  }
  if (bind !== undefined && !isLoopback(bind)) {
    const shown = formatBindAddress(bind)
    warn(['admin', 'bind'], `anyone who reaches ${shown} can read the state of this gateway; it asks for no password`)
  }
  return admin
}

function smtpOf(file: ConfigFile, { warn }: Resolving): SmtpConfig {
  const { smtp } = file
  if (smtp['greeting-tease'] && smtp['greeting-delay'] === 'off') {
    warn(['smtp', 'greeting-tease'], 'without greeting-delay there is no line to tease with')
  }
  return {
    localDomains: localDomainsOf(file),
    maxMessageBytes: smtp['max-message-size'],
    maxRecipients: smtp['max-recipients'],
    bareNewline: smtp['bare-newline'],
    nul: smtp.nul,
    submissionSender: smtp['submission-sender'],
    ...(smtp['subaddress-separator'] !== 'off' && { subaddressSeparator: smtp['subaddress-separator'] }),
    errorDelayMs: smtp['error-delay'] === 'off' ? 0 : smtp['error-delay'],
    ...(smtp['greeting-delay'] !== 'off' && {
      greetingDelay: { delayMs: smtp['greeting-delay'], isTeasing: smtp['greeting-tease'] },
    }),
    ...(smtp['session-timeout'] !== 'off' && { maxSessionMs: smtp['session-timeout'] }),
    bounds: {
      firstCommandPatienceMs: smtp['first-command-timeout'],
      commandPatienceMs: smtp['command-timeout'],
      dataBlockPatienceMs: smtp['data-timeout'],
      minDataBytesPerSecond: smtp['min-data-rate'],
      maxCommandLineBytes: smtp['max-command-line'],
      maxHeaderSectionBytes: smtp['max-header-size'],
      maxHops: smtp['max-hops'],
      maxErrors: smtp['max-errors'],
      maxIdleCommands: smtp['max-idle-commands'],
      maxFailedAuthentications: smtp['max-failed-logins'],
    },
    multi: smtp.multi,
    relayNetworks: smtp['relay-networks'],
    xclientNetworks: smtp['xclient-networks'],
    xforwardNetworks: smtp['xforward-networks'],
  }
}

/** A connection of our own may relay where it comes in again: by its network, as the client that it announces, or signed in. */
function mayRelayOn({ smtp, listener }: ConfigFile): boolean {
  return (
    smtp['relay-networks'].length > 0 ||
    smtp['xclient-networks'].length > 0 ||
    Object.values(listener).some((table) => table['sign-in'] === 'upstream')
  )
}

/** `[admin]` as it is meant. */
export function adminOf({ bind, 'token-file': tokenFile }: AdminTable, baseDir: string): AdminConfig {
  return {
    ...(bind === 'off' ? {} : { bind: knownBindAddress(bind, defaultAdminPort) }),
    ...(tokenFile === undefined ? {} : { tokenFile: resolve(baseDir, tokenFile) }),
  }
}

/** `admin.bind` without a port. */
const defaultAdminPort = 2080

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value)
    for (const child of Object.values(value)) deepFreeze(child)
  }
  return value
}
