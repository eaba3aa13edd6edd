/*
 * From a file in which every key has the right type to what the gateway runs by: defaults that depend on other keys,
 * files that are named, and what keys mean together. Each check first asks whether what it looks at was read soundly,
 * so that one mistake is told once.
 */
import { availableParallelism, hostname } from 'node:os'
import { resolve } from 'node:path'
import { createSecureContext } from 'node:tls'
import { readToken } from '../admin/token-file.ts'
import { readAccounts } from '../auth/accounts-file.ts'
import { collide, defaultPort, formatBindAddress, isLoopback, parseBindAddress } from './bind-address.ts'
import { readAuthorities, readCertificate } from './certificate-files.ts'
import type { AdminTable, ConfigFile, ListenerTable } from './config-file.ts'
import { formatKeyPath, type KeyPath } from './key-path.ts'
import type { Problems } from './problems.ts'
import { readTextFile } from './read-file.ts'
import { orderedCertificate, resolveAcme } from './resolve-acme.ts'
import { resolveInspection, resolvePolicy } from './resolve-policy.ts'
import { checkSignIn, resolveLookups, resolveRoutes } from './resolve-routes.ts'
import { resolveUpstreams, type Resolving } from './resolve-upstreams.ts'
import type {
  AccountsConfig,
  AcmeConfig,
  AdminConfig,
  BindAddress,
  CertificateConfig,
  ClientCertificates,
  Config,
  ConfigOutcome,
  ConfigProblem,
  ConfigWarning,
  DnsConfig,
  ListenerConfig,
  ListenerLiveConfig,
  ListenerProxyConfig,
  SmtpConfig,
  TlsConfig,
} from './schema.ts'
import type { TomlLines } from './toml-lines.ts'

export interface ConfigSource {
  readonly file: string
  readonly baseDir: string
  readonly problems: Problems
  readonly lines: TomlLines
}

export async function resolveConfig(file: ConfigFile, source: ConfigSource): Promise<ConfigOutcome> {
  const resolution = new Resolution(file, source)
  const config = await resolution.config()
  const problems = [...source.problems.located(source.file, source.lines), ...resolution.problemsElsewhere]
  return problems.length > 0
    ? { ok: false, problems }
    : { ok: true, config: deepFreeze(config), warnings: resolution.warnings }
}

/** The part that opens no file. What is wrong is in `source.problems` then. */
export function resolveListeners(
  file: ConfigFile,
  source: ConfigSource,
): { readonly listeners: readonly ListenerConfig[]; readonly live: readonly ListenerLiveConfig[] } {
  return new Resolution(file, source).listeners()
}

class Resolution {
  readonly warnings: ConfigWarning[] = []
  /** In files that the configuration names. */
  readonly problemsElsewhere: ConfigProblem[] = []
  readonly #file: ConfigFile
  readonly #source: ConfigSource
  readonly #problems: Problems

  constructor(file: ConfigFile, source: ConfigSource) {
    this.#file = file
    this.#source = source
    this.#problems = source.problems
  }

  async config(): Promise<Config> {
    const { server, log, limits } = this.#file
    const hostName = hostNameOf(server)
    const listeners = this.#listeners()
    const admin = await this.#admin()
    const resolving: Resolving = {
      problems: this.#problems,
      warn: (path, message) => this.#warn(path, message),
      path: (name) => this.#path(name),
      secretIn: (name, path) => this.#secretIn(name, path),
    }
    const dataDir = this.#path(server['data-dir'])
    const acme = await resolveAcme(this.#file.tls.acme, { admin, dataDir }, resolving)
    this.#refuseCollisions(listeners, admin, acme)
    this.#warnOfTrust()
    const certificates = [...(await this.#certificates(listeners)), ...(await orderedCertificate(acme, resolving))]
    const accounts = await this.#accounts(listeners)
    const clientCa = await this.#clientCa(listeners)
    const upstreams = await resolveUpstreams(this.#file.upstream, resolving)
    const lookups = resolveLookups(this.#file.lookup, resolving)
    const routes = resolveRoutes(this.#file.route, { upstreams, listeners, lookups: this.#file.lookup }, resolving)
    checkSignIn({ tables: this.#file.listener, upstreams, routes }, resolving)
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
        listeners: this.#tables().map(([name, table]) => this.#live(name, table)),
        certificates,
        tls: this.#tls(),
        ...(clientCa === undefined ? {} : { clientCa }),
        ...(acme === undefined ? {} : { acme }),
        accounts,
        upstreams,
        lookups,
        routes,
        smtp: this.#smtp(),
        imap: { idNetworks: this.#file.imap['id-networks'] },
        dns: this.#dns(),
        policy: resolvePolicy(this.#file.policy, this.#file.listener, resolving),
        ...resolveInspection(this.#file, resolving),
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

  listeners(): { readonly listeners: readonly ListenerConfig[]; readonly live: readonly ListenerLiveConfig[] } {
    return { listeners: this.#listeners(), live: this.#tables().map(([name, table]) => this.#live(name, table)) }
  }

  // ── listeners ─────────────────────────────────────────────────────────────

  #tables(): [string, ListenerTable][] {
    return Object.entries(this.#file.listener)
  }

  #listeners(): ListenerConfig[] {
    const tables = this.#tables()
    if (tables.length === 0 && this.#problems.isSound('listener')) {
      this.#problems.add({ path: ['listener'], expected: 'at least one table [listener.NAME]', found: 'none' })
    }
    return tables.map(([name, { protocol, tls, bind }]) => ({
      name,
      protocol,
      tls,
      bind: [bind].flat().map((text) => bindAddress(text, defaultPort(protocol, tls))),
    }))
  }

  #live(name: string, table: ListenerTable): ListenerLiveConfig {
    const proxy = this.#listenerProxy(name, table)
    const requiresTls = table['require-tls']
    if (requiresTls) this.#judgeRequiredTls(name, table, proxy)
    return {
      name,
      proxy,
      requiresTls,
      maxConnections: table['max-connections'],
      signIn: table['sign-in'],
      whenBackendsDown: table['when-backends-down'],
      clientCertificates: this.#clientCertificates(name),
    }
  }

  #judgeRequiredTls(name: string, { protocol, tls }: ListenerTable, { mode, tlsNetworks }: ListenerProxyConfig): void {
    const path: KeyPath = ['listener', name, 'require-tls']
    const found = `true, with protocol = "${protocol}" and tls = "${tls}"`
    if (protocol === 'imap') {
      this.#problems.add({
        path,
        expected: 'a listener for SMTP or LMTP: IMAP never takes a login in the clear',
        found,
      })
    } else if (tls === 'off' && (mode === 'off' || tlsNetworks?.length === 0)) {
      const expected = 'TLS here (`tls`), or balancers that tell of theirs (`proxy.mode`, `proxy.tls-networks`)'
      this.#problems.add({ path, expected, found })
    }
  }

  /** Nobody is asked where TLS does not end. */
  #clientCertificates(name: string): ClientCertificates {
    const { listener, tls } = this.#file
    const table = listener[name]
    return table === undefined || table.tls === 'off'
      ? 'off'
      : (table['client-certificates'] ?? tls['client-certificates'])
  }

  #listenerProxy(name: string, { proxy: own }: ListenerTable): ListenerProxyConfig {
    const { proxy } = this.#file
    const trustedNetworks = own['trusted-networks'] ?? proxy['trusted-networks']
    const mode = own.mode ?? (trustedNetworks.length > 0 ? 'mixed' : 'off')
    const pathOfList: KeyPath = ['listener', name, 'proxy', 'trusted-networks']
    const isListSound = this.#problems.isSound(...pathOfList) && this.#problems.isSound('proxy', 'trusted-networks')
    if (mode !== 'off' && trustedNetworks.length === 0 && isListSound) {
      const expected = `the networks of the balancers, since mode "${mode}" takes headers only from trusted networks`
      this.#problems.add({ path: pathOfList, expected, found: 'none, here and in [proxy]' })
    }
    const { 'tls-networks': tlsNetworks } = own
    if (mode === 'off' && tlsNetworks !== undefined) {
      this.#warn(['listener', name, 'proxy', 'tls-networks'], 'nobody sends a header here: the mode is "off"')
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

  async #admin(): Promise<AdminConfig> {
    const admin = adminOf(this.#file.admin, this.#source.baseDir)
    const { bind, tokenFile } = admin
    const token = tokenFile === undefined ? undefined : await readToken(tokenFile)
    if (token?.ok === false) {
      const found = `${tokenFile}: ${token.reason}`
      this.#problems.add({ path: ['admin', 'token-file'], expected: 'a file with a token', found })
    }
    if (bind !== undefined && !isLoopback(bind)) {
      const shown = formatBindAddress(bind)
      this.#warn(
        ['admin', 'bind'],
        `anyone who reaches ${shown} can read the state of this gateway; it asks for no password`,
      )
    }
    return admin
  }

  #refuseCollisions(listeners: readonly ListenerConfig[], admin: AdminConfig, acme: AcmeConfig | undefined): void {
    const places = listeners.flatMap(({ name, bind }) =>
      bind.map((address, index) => {
        const isList = Array.isArray(this.#file.listener[name]?.bind)
        return { address, path: ['listener', name, 'bind', ...(isList ? [index] : [])] as KeyPath }
      }),
    )
    if (admin.bind !== undefined) places.push({ address: admin.bind, path: ['admin', 'bind'] })
    if (acme?.bind !== undefined) places.push({ address: acme.bind, path: ['tls', 'acme', 'bind'] })
    for (const [index, place] of places.entries()) {
      const earlier = places.slice(0, index).find(({ address }) => collide(address, place.address))
      if (earlier === undefined) continue
      this.#problems.add({
        path: place.path,
        expected: 'an address and port that nothing else of this gateway has',
        found: `${formatBindAddress(place.address)}, but ${formatKeyPath(earlier.path)} has ${formatBindAddress(earlier.address)}`,
      })
    }
  }

  // ── files ─────────────────────────────────────────────────────────────────

  async #certificates(listeners: readonly ListenerConfig[]): Promise<CertificateConfig[]> {
    const { certificates, acme } = this.#file.tls
    const inNeed = listeners.filter(({ tls }) => tls !== 'off').map(({ name }) => name)
    if (certificates.length === 0 && acme === undefined && inNeed.length > 0 && this.#problems.isSound('tls')) {
      const expected = 'a certificate and its key, as in [{ cert = "mx.pem", key = "mx.key" }], or [tls.acme]'
      const found = `none, but ${inNeed.map((name) => `listener ${name}`).join(' and ')} would speak TLS`
      this.#problems.add({ path: ['tls', 'certificates'], expected, found })
    }
    const readings = await Promise.all(
      certificates.map(async ({ cert, key }, index) => {
        const [certFile, keyFile] = [this.#path(cert), this.#path(key)]
        return { index, certFile, keyFile, reading: await readCertificate(certFile, keyFile) }
      }),
    )
    return readings.flatMap(({ index, certFile, keyFile, reading }) => {
      if (reading.ok) {
        for (const message of reading.warnings) this.#warn(['tls', 'certificates', index], message)
        return [{ certFile, keyFile, cert: reading.cert, key: reading.key }]
      }
      for (const { of, ...problem } of reading.problems) {
        this.#problems.add({ path: ['tls', 'certificates', index, of], ...problem })
      }
      return []
    })
  }

  #tls(): TlsConfig {
    const { 'min-version': version, ciphers } = this.#file.tls
    const minVersion = version === '1.3' ? 'TLSv1.3' : 'TLSv1.2'
    if (ciphers === undefined) return { minVersion }
    try {
      createSecureContext({ minVersion, ciphers })
    } catch {
      const found = `"${ciphers}", of which OpenSSL knows none`
      this.#problems.add({ path: ['tls', 'ciphers'], expected: 'ciphers as OpenSSL names them', found })
    }
    return { minVersion, ciphers }
  }

  /** Who signs the certificates of clients, where a listener asks for them. */
  async #clientCa(listeners: readonly ListenerConfig[]): Promise<string | undefined> {
    const asking = listeners.filter(({ name }) => this.#clientCertificates(name) !== 'off')
    const path = ['tls', 'client-ca']
    const { 'client-ca': name } = this.#file.tls
    if (asking[0] === undefined) return undefined
    if (name === undefined) {
      if (!this.#problems.isSound('tls')) return undefined
      const found = `none, but listener ${asking[0].name} asks clients for a certificate`
      this.#problems.add({ path, expected: 'the file of who signs the certificates of clients', found })
      return undefined
    }
    const open = asking.find(
      ({ protocol, name: each }) => protocol === 'smtp' && this.#clientCertificates(each) === 'require',
    )
    if (open !== undefined) {
      const message = `listener ${open.name} takes mail only from clients with a certificate of yours, which other mail servers do not have`
      this.#warn(['listener', open.name], message)
    }
    const reading = await readAuthorities(this.#path(name))
    if (reading.ok) return reading.pem
    this.#problems.add({ path, expected: 'certificates in PEM', found: reading.found })
    return undefined
  }

  async #accounts(listeners: readonly ListenerConfig[]): Promise<AccountsConfig> {
    const { file: name, 'client-certificates': takesCertificates } = this.#file.accounts
    const oauth = await this.#oauth()
    if (name === undefined) {
      const useless = listeners.find(({ protocol }) => protocol === 'submission' || protocol === 'imap')
      if (useless !== undefined && this.#file.listener[useless.name]?.['sign-in'] !== 'upstream') {
        const message = `nobody can sign in on listener ${useless.name}: there is no accounts file`
        this.#warn(['accounts', 'file'], message)
      }
      return { takesCertificates, ...oauth }
    }
    const file = this.#path(name)
    const outcome = await readAccounts(file)
    if (!outcome.ok) {
      for (const problem of outcome.problems) {
        if (problem.line > 0) {
          this.problemsElsewhere.push(problem)
          continue
        }
        const hint = outcome.isMissing ? { hint: 'make it with `postern user add NAME -c FILE`' } : {}
        const found = `${file}: ${problem.found}`
        this.#problems.add({ path: ['accounts', 'file'], expected: problem.expected, found, ...hint })
      }
    }
    const hasAny = outcome.ok && outcome.accounts.size > 0
    return { file, ...(hasAny ? { hasAny } : {}), takesCertificates, ...oauth }
  }

  async #oauth(): Promise<Pick<AccountsConfig, 'oauth'>> {
    const { oauth, file } = this.#file.accounts
    if (oauth === undefined) return {}
    const path = ['accounts', 'oauth']
    if (file === undefined && this.#problems.isSound('accounts', 'file')) {
      const expected = 'an accounts file too: a token says who somebody is, and the file who has mail here'
      this.#problems.add({ path: ['accounts', 'file'], expected, found: 'nothing' })
    }
    const secret = await this.#secretIn(oauth['client-secret-file'], [...path, 'client-secret-file'])
    if (secret !== undefined && oauth['client-id'] === undefined && this.#problems.isSound(...path)) {
      const expected = 'who we are, since there is a client-secret-file'
      this.#problems.add({ path: [...path, 'client-id'], expected, found: 'nothing' })
    }
    return {
      oauth: {
        introspectionUrl: oauth['introspection-url'],
        accountClaim: oauth['account-claim'],
        timeoutMs: oauth.timeout,
        cacheMs: oauth['cache-time'] === 'off' ? 0 : oauth['cache-time'],
        ...(oauth['client-id'] === undefined ? {} : { clientId: oauth['client-id'] }),
        ...(secret === undefined ? {} : { clientSecret: secret }),
        ...(oauth.scope === undefined ? {} : { scope: oauth.scope }),
        ...(oauth.audience === undefined ? {} : { audience: oauth.audience }),
        ...(oauth['discovery-url'] === undefined ? {} : { discoveryUrl: oauth['discovery-url'] }),
      },
    }
  }

  /** The one line of a file that other users of the machine may not read. */
  async #secretIn(name: string | undefined, path: KeyPath): Promise<string | undefined> {
    if (name === undefined) return undefined
    const file = this.#path(name)
    const reading = await readTextFile(file)
    if (!reading.ok) {
      this.#problems.add({ path, expected: 'a file that can be read', found: `${file}: ${reading.reason}` })
      return undefined
    }
    const secret = reading.text.replace(/\r?\n$/, '')
    if (secret === '' || /[\r\n\0]/.test(secret)) {
      this.#problems.add({ path, expected: 'a file with a secret on one line', found: `${file}, which has none` })
      return undefined
    }
    if ((reading.mode & 0o004) !== 0) this.#warn(path, `everybody on this machine can read it: chmod o-r ${file}`)
    return secret
  }

  // ── the rest ──────────────────────────────────────────────────────────────

  #smtp(): SmtpConfig {
    const { smtp } = this.#file
    if (smtp['greeting-tease'] && smtp['greeting-delay'] === 'off') {
      this.#warn(['smtp', 'greeting-tease'], 'without greeting-delay there is no line to tease with')
    }
    return {
      localDomains: localDomainsOf(this.#file),
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

  #dns(): DnsConfig {
    const { servers, timeout, tries, 'client-names': clientNames } = this.#file.dns
    return { servers, timeoutMs: timeout, tries, clientNames }
  }

  /** Meant at times, but a disaster when it is not: anyone can then claim to be anyone. */
  #warnOfTrust(): void {
    const lists: { path: KeyPath; networks: readonly string[] }[] = [
      { path: ['proxy', 'trusted-networks'], networks: this.#file.proxy['trusted-networks'] },
      ...this.#tables().map(([name, { proxy }]) => ({
        path: ['listener', name, 'proxy', 'trusted-networks'],
        networks: proxy['trusted-networks'] ?? [],
      })),
    ]
    for (const { path, networks } of lists) {
      for (const [index, network] of networks.entries()) {
        if (!coversInternet(network)) continue
        const message = `${network} trusts everybody: whoever can connect can claim any address by a PROXY header, and pass every list and limit. Let a firewall admit your balancers only, or name their networks here`
        this.#warn([...path, index], message)
      }
    }
    for (const [index, network] of this.#file.smtp['relay-networks'].entries()) {
      if (!coversInternet(network)) continue
      const message = `${network} lets everybody relay to everybody through this gateway: name your own networks here`
      this.#warn(['smtp', 'relay-networks', index], message)
    }
    for (const [index, network] of this.#file.smtp['xclient-networks'].entries()) {
      if (!coversInternet(network)) continue
      const message = `${network} lets everybody claim any address and any login by XCLIENT: name your front ends here`
      this.#warn(['smtp', 'xclient-networks', index], message)
    }
    for (const [index, network] of this.#file.imap['id-networks'].entries()) {
      if (!coversInternet(network)) continue
      const message = `${network} lets everybody claim any address by ID: name your front ends here`
      this.#warn(['imap', 'id-networks', index], message)
    }
    for (const [index, network] of this.#file.policy['exempt-networks'].entries()) {
      if (!coversInternet(network)) continue
      this.#warn(['policy', 'exempt-networks', index], `${network} takes all rate and concurrency limits away`)
    }
  }

  #warn(path: KeyPath, message: string): void {
    const { file, lines } = this.#source
    this.warnings.push({ file, line: lines.lineOf(path), path: formatKeyPath(path), message })
  }

  #path(name: string): string {
    return resolve(this.#source.baseDir, name)
  }
}

/** Domains whose mail is for accounts here. */
export function localDomainsOf({ server, smtp }: Pick<ConfigFile, 'server' | 'smtp'>): readonly string[] {
  return (smtp['local-domains'] ?? [hostNameOf(server)]).map((domain) => domain.toLowerCase())
}

function hostNameOf({ hostname: name }: ConfigFile['server']): string {
  return name ?? nameOfMachine()
}

/** `[admin]` as it is meant. */
export function adminOf({ bind, 'token-file': tokenFile }: AdminTable, baseDir: string): AdminConfig {
  return {
    ...(bind === 'off' ? {} : { bind: bindAddress(bind, defaultAdminPort) }),
    ...(tokenFile === undefined ? {} : { tokenFile: resolve(baseDir, tokenFile) }),
  }
}

/** `admin.bind` without a port. */
const defaultAdminPort = 2080

/** Every address of a family, or half of them: `0.0.0.0/1` with `128.0.0.0/1` is the same in two words. */
function coversInternet(network: string): boolean {
  return /\/[01]$/.test(network) || /^::ffff:.*\/9[67]$/i.test(network)
}

function bindAddress(text: string, port: number): BindAddress {
  const address = parseBindAddress(text)
  if (address === undefined) throw new TypeError(`${text} passed the schema, but is no address`)
  return { port, ...address }
}

/** The machine's own name when mail can use it, which asks for letters, digits and hyphens. */
function nameOfMachine(): string {
  const name = hostname().toLowerCase()
  return /^[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?$/.test(name) ? name : 'localhost'
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value)
    for (const child of Object.values(value)) deepFreeze(child)
  }
  return value
}
