import type { ListenerProtocol, SaslMechanism, TlsMode } from '@postern/core'
import type { BackendAddress, BackendProtocol } from './backend-address.ts'

/**
 * What the gateway runs by. Frozen plain data: it crosses to worker processes as it stands. File names are absolute.
 *
 * It holds private keys: never log it whole.
 */
export interface Config {
  /** What the supervisor itself holds: sockets, workers, the admin endpoint. A reload changes it before any worker is replaced. */
  readonly start: StartConfig
  /** One immutable snapshot, replaced as a whole by a reload; a connection keeps the one it was born with. */
  readonly live: LiveConfig
}

export interface StartConfig {
  /** Worker processes; `auto` has become the number of processors. */
  readonly workers: number
  /** Where the embedded store lives. */
  readonly dataDir: string
  /** Whom a start by root goes on as. */
  readonly user?: string
  /** At least one, in the order of the file. */
  readonly listeners: readonly ListenerConfig[]
  readonly admin: AdminConfig
}

export interface ListenerConfig {
  /** As in `[listener.NAME]`. */
  readonly name: string
  readonly protocol: ListenerProtocol
  readonly tls: TlsMode
  readonly bind: readonly BindAddress[]
}

export interface BindAddress {
  /** An address in its shortest text form, without brackets. */
  readonly host: string
  /** 0 lets the system choose. */
  readonly port: number
}

export interface AdminConfig {
  /** Absent when `bind = "off"`. */
  readonly bind?: BindAddress
  /** What has the token for `reload` and `drain`. Absent: nobody can ask for them there. */
  readonly tokenFile?: string
}

export interface LiveConfig {
  /** The name in greetings and `Received`. */
  readonly hostname: string
  readonly logLevel: LogLevel
  /** Same names and order as `start.listeners`. */
  readonly listeners: readonly ListenerLiveConfig[]
  /** Never empty when a listener speaks TLS; the first serves clients that name no server. */
  readonly certificates: readonly CertificateConfig[]
  readonly tls: TlsConfig
  /** PEM: who signs the certificates of clients. Present when a listener asks for them. */
  readonly clientCa?: string
  /** Absent: certificates are somebody else's concern. */
  readonly acme?: AcmeConfig
  readonly accounts: AccountsConfig
  /** In the order of the file. */
  readonly upstreams: readonly UpstreamConfig[]
  readonly lookups: readonly LookupConfig[]
  /** In the order of the file: the first that matches decides. */
  readonly routes: readonly RouteConfig[]
  readonly smtp: SmtpConfig
  readonly imap: ImapConfig
  readonly dns: DnsConfig
  readonly policy: PolicyConfig
  /** Absent: nobody's mail is verified. */
  readonly authentication?: AuthenticationConfig
  /** Absent: there is no scanner. */
  readonly scanner?: ScannerConfig
  readonly limits: LimitsConfig
}

export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error'

export interface ListenerLiveConfig {
  readonly name: string
  readonly proxy: ListenerProxyConfig
  /** SMTP and LMTP: no mail, no login and no question in the clear. */
  readonly requiresTls: boolean
  /** Connections of this listener in one worker at a time. */
  readonly maxConnections: Ceiling
  /** Who says whether a user's credentials are right: the accounts here, or the backend of the user. */
  readonly signIn: 'accounts' | 'upstream'
  /** What clients hear when all upstreams of its routes are down. Health checks are refused then in any case. */
  readonly whenBackendsDown: 'defer' | 'refuse'
  readonly clientCertificates: ClientCertificates
}

/**
 * Whether a client is asked for a certificate when TLS ends here. With `request` one that none of ours has signed counts as
 * none; with `require` the handshake fails without a good one.
 */
export type ClientCertificates = 'off' | 'request' | 'require'

/** Whether a PROXY header comes first: by mode and the peer's network, before a byte is read. */
export interface ListenerProxyConfig {
  readonly mode: ProxyMode
  /** The listener's own list, or else the global one. Empty only with mode `off`. */
  readonly trustedNetworks: readonly string[]
  /** Trusted networks whose word on the client's TLS counts; absent for all of them. */
  readonly tlsNetworks?: readonly string[]
  /** Absolute, from the accept to the last byte of the header. */
  readonly headerTimeoutMs: number
  readonly maxHeaderBytes: number
  /** Mode `optional`: how long the greeting waits for a header. */
  readonly optionalWaitMs: number
  /** A second header right behind the first one ends the connection; else it is an unknown command. */
  readonly refusesSecondHeader: boolean
}

export type ProxyMode = 'off' | 'require' | 'mixed' | 'optional'

/** What is spoken at all where TLS ends here. */
export interface TlsConfig {
  /** RFC 8996 forbids what is older. */
  readonly minVersion: 'TLSv1.2' | 'TLSv1.3'
  /** OpenSSL's list, in its order of preference; absent for what Node takes. */
  readonly ciphers?: string
}

/** What is ordered from an authority (RFC 8555). */
export interface AcmeConfig {
  /** Lower case. All in one certificate. */
  readonly names: readonly string[]
  readonly directory: string
  readonly email?: string
  /** Where challenges are answered; absent for the admin endpoint. */
  readonly bind?: BindAddress
  readonly folder: string
  readonly keyType: 'ecdsa' | 'rsa'
  readonly renewBeforeMs: number
  readonly externalAccount?: { readonly keyId: string; readonly key: string }
}

/** A certificate with its chain, and its key, as they were when the configuration was read and checked against each other. */
export interface CertificateConfig {
  readonly certFile: string
  readonly keyFile: string
  /** PEM. */
  readonly cert: string
  /** PEM. */
  readonly key: string
  /** Self-signed, made when the configuration was read: it stands where one is ordered that has not come yet. */
  readonly isPlaceholder?: true
}

export interface AccountsConfig {
  /** Absent when nobody can sign in. */
  readonly file?: string
  /** There was one when the configuration was read: some mail may stay here. */
  readonly hasAny?: true
  /**
   * A client certificate that was verified, here or by a trusted balancer, is enough to sign in as the account of its common
   * name.
   */
  readonly takesCertificates: boolean
  /** Absent: tokens are not taken. */
  readonly oauth?: OauthConfig
}

/** Who knows the tokens of OAuth 2.0 (RFC 7662), and which of them are for mail. */
export interface OauthConfig {
  readonly introspectionUrl: string
  readonly clientId?: string
  readonly clientSecret?: string
  /** The member of an answer that names the account. */
  readonly accountClaim: string
  /** Scopes with blanks between, all of which a token must have. */
  readonly scope?: string
  /** What a token must be meant for. */
  readonly audience?: string
  /** Told to clients whose token is refused. */
  readonly discoveryUrl?: string
  readonly timeoutMs: number
  /** How long an answer is believed, at most; 0 for not at all. */
  readonly cacheMs: number
}

export interface SmtpConfig {
  /** Lower case. Mail for other domains is not taken from strangers. */
  readonly localDomains: readonly string[]
  readonly maxMessageBytes: number
  /** Forward-paths of one transaction. */
  readonly maxRecipients: number
  readonly bareNewline: BareNewline
  readonly nul: Nul
  readonly submissionSender: SubmissionSender
  /** Between the name of an account and that of a folder in an address; absent: there are no sub-addresses. */
  readonly subaddressSeparator?: string
  /** By which the delay of a reply grows with each error beyond the first few; 0 for none. */
  readonly errorDelayMs: number
  /** Listeners for mail from other hosts greet so much later; absent: at once. */
  readonly greetingDelay?: { readonly delayMs: number; readonly isTeasing: boolean }
  /** How long a whole session may take; absent: as long as it moves. */
  readonly maxSessionMs?: number
  readonly bounds: SmtpBounds
  /** What becomes of a message whose recipients belong to several places. */
  readonly multi: 'defer' | 'fanout'
  /** Who may relay without signing in; no other list gives that right. */
  readonly relayNetworks: readonly string[]
  /** Who may announce another client by XCLIENT; no other list gives that right. */
  readonly xclientNetworks: readonly string[]
  /** Who may announce another client by XFORWARD, for the log alone. */
  readonly xforwardNetworks: readonly string[]
}

export interface ImapConfig {
  /** Who may say by ID for which client it speaks; no other list gives that right. */
  readonly idNetworks: readonly string[]
  readonly mayUnauthenticate: boolean
}

/** Bounds of a session that an operator may move; each replaces the one of its name in the SMTP package. */
export interface SmtpBounds {
  readonly firstCommandPatienceMs: number
  readonly commandPatienceMs: number
  readonly dataBlockPatienceMs: number
  readonly minDataBytesPerSecond: number
  readonly maxCommandLineBytes: number
  readonly maxHeaderSectionBytes: number
  readonly maxHops: number
  readonly maxErrors: number
  readonly maxIdleCommands: number
  readonly maxFailedAuthentications: number
}

/** Whom a user who signed in may send as. */
export type SubmissionSender = 'own' | 'any'

/** LF or CR alone inside a message: made CRLF and space, the same with a line in the log, or the message refused. */
export type BareNewline = 'normalize' | 'note' | 'reject'

/** A message with NULs is refused, or loses them. */
export type Nul = 'reject' | 'strip'

export interface DnsConfig {
  /** Addresses with or without a port, as in `192.0.2.53` and `[2001:db8::53]:5353`. Empty: those of the system. */
  readonly servers: readonly string[]
  /** For one question, all its tries together. */
  readonly timeoutMs: number
  readonly tries: number
  /** The names of SMTP clients are looked up. */
  readonly clientNames: boolean
}

/** A named group of backends that do the same work. */
export interface UpstreamConfig {
  readonly name: string
  readonly protocol: BackendProtocol
  /** At least one, in the order of the file; no two with one address. */
  readonly backends: readonly BackendConfig[]
  readonly balance: Balance
  readonly announce: Announce
  /** Relay also where XCLIENT or XFORWARD is not offered. */
  readonly isAnnouncementOptional: boolean
  readonly maxHeaderBytes: number
  readonly passedTlvs: readonly PassedTlv[]
  readonly hasHeaderChecksum: boolean
  readonly tls: UpstreamTlsConfig
  /** To each backend, from one worker. */
  readonly maxConnections: Ceiling
  /** Connections to each backend that one worker keeps for the next message. Absent: none. */
  readonly idle?: { readonly maxConnections: number; readonly timeMs: number }
  /** Users' credentials go to the backends without TLS as well. */
  readonly sendsCredentialsInClear: boolean
  /** IMAP: signs in for every user who was judged here; absent: users are signed in with what they gave. */
  readonly master?: { readonly username: string; readonly password: string }
  /** By which users are signed in at the backends; all, when absent. */
  readonly signInMechanisms?: readonly SaslMechanism[]
  /** 0 for none. */
  readonly slowStartMs: number
  readonly timeouts: 'near' | 'rfc5321'
  readonly health: HealthConfig
}

export interface BackendConfig {
  readonly address: BackendAddress
  /** What `hash-user` knows it by; absent: its host. */
  readonly name?: string
  /** From 1; a share of the work. */
  readonly weight: number
  /** Used when all others are down. */
  readonly isBackup: boolean
}

export type Balance = 'round-robin' | 'least-connections' | 'hash-user'

/** How backends learn who the client is. With SMTP `none` and `received` are one: a `Received` field is always added. */
export type Announce = 'none' | 'received' | 'proxy-v1' | 'proxy-v2' | 'xclient' | 'xforward' | 'imap-id'

/** What a PROXY header of version 2 says beside the addresses. */
export type PassedTlv = 'unique-id' | 'authority' | 'alpn' | 'ssl'

export type UpstreamTlsMode = 'off' | 'optional' | 'starttls' | 'implicit'

export interface UpstreamTlsConfig {
  readonly mode: UpstreamTlsMode
  /** PEM; absent for what Node trusts. */
  readonly ca?: string
  /** Absent: the host as it is written. */
  readonly serverName?: string
  /** SHA-256, lower-case hexadecimal without colons. Absent: nothing is pinned. */
  readonly fingerprints?: readonly string[]
  /** What we show to backends that ask. */
  readonly certificate?: CertificateConfig
}

export interface HealthConfig {
  /** Backends are looked at; else only what mail and logins meet tells that one is down. */
  readonly isChecked: boolean
  readonly intervalMs: number
  readonly timeoutMs: number
  readonly rise: number
  readonly fall: number
}

/**
 * Where mail and logins go. Every condition that is there must hold, and of each at least one of its values. A route to an
 * SMTP or LMTP upstream is about mail, one to an IMAP upstream about logins, one to the store about both.
 */
export interface RouteConfig {
  /** `ann@example.org`, `@example.org`, and `@.example.org` for everything below it; lower case, domains in ASCII. */
  readonly recipients?: readonly string[]
  /** Names as they are, or patterns as above. */
  readonly users?: readonly string[]
  /** `mx.example.org`, or `.example.org` for everything below it. */
  readonly serverNames?: readonly string[]
  readonly authorities?: readonly string[]
  readonly clients?: readonly string[]
  readonly listeners?: readonly string[]
  readonly to: RouteTarget
}

export type RouteTarget =
  | { readonly kind: 'store' }
  | { readonly kind: 'refuse' }
  | { readonly kind: 'upstream'; readonly upstream: string }
  /** A directory says; what it leaves open, `upstream` fills in. */
  | {
      readonly kind: 'lookup'
      readonly lookup: string
      readonly upstream?: string
      /** Its answers are about recipients that are ours, so that anybody's mail for them is taken. */
      readonly namesRecipients: boolean
    }

/** A directory that is asked where mail and logins go. */
export interface LookupConfig {
  readonly name: string
  /** `http:`, `https:`, `redis:` or `rediss:`. It may hold a password: never log it. */
  readonly url: string
  /** Of HTTP. */
  readonly dialect: 'nginx' | 'json'
  /** Of Redis: before each key. */
  readonly prefix: string
  readonly timeoutMs: number
  readonly retries: number
  /** How long an answer holds; 0 for not at all. */
  readonly cacheMs: number
  readonly cacheEntries: number
  /** Without an answer: the client is deferred, or the routes behind are asked. */
  readonly whenDown: 'defer' | 'next'
}

/** Evaluated on `identity.client`, never on the balancer. */
export interface PolicyConfig {
  readonly deny: readonly string[]
  /** What a denied client is told instead of the default words. */
  readonly denyReply?: { readonly code: number; readonly text: string }
  /** No policy, no log line. */
  readonly ignoredHosts: readonly string[]
  /** No rate and no concurrency limit. */
  readonly exemptNetworks: readonly string[]
  /** In the order of the file: the first that matches decides. */
  readonly access: readonly AccessRuleConfig[]
  readonly dnsLists: readonly DnsListConfig[]
  readonly hello: HelloChecksConfig
  readonly rate: Readonly<Record<RateOf, Rate | 'unlimited'>>
  readonly concurrency: Readonly<Record<'connectionsPerClient' | 'connectionsPerNetwork' | 'sessionsPerUser', Ceiling>>
  /** How many bits of an address name the network that it is counted with. */
  readonly networkBits: { readonly ipv4: number; readonly ipv6: number }
  /** How long a client or a user that failed to sign in too often is kept out: at first, and at most. */
  readonly ban: { readonly firstMs: number; readonly longestMs: number }
  /** Absent: each machine has limits of its own. */
  readonly fleet?: FleetConfig
}

/** Where the machines of a fleet count together. */
export interface FleetConfig {
  /** `redis:` or `rediss:`. It may hold a password: never log it. */
  readonly url: string
  /** Before each key. */
  readonly prefix: string
  /** For one question; without an answer the machine goes by its own count. */
  readonly timeoutMs: number
}

/** What has a rate. */
export type RateOf =
  | 'connectionsPerClient'
  | 'connectionsPerNetwork'
  | 'commandsPerClient'
  | 'messagesPerClient'
  | 'messagesPerUser'
  | 'recipientsPerClient'
  | 'recipientsPerUser'
  | 'failedLoginsPerClient'
  | 'failedLoginsPerUser'

export interface AccessRuleConfig {
  readonly networks: readonly string[]
  readonly action: AccessAction
  /** An SMTP reply code of the class of the action. */
  readonly code?: number
  readonly text?: string
  /** Absent: all. */
  readonly listeners?: readonly string[]
}

export type AccessAction = 'allow' | 'defer' | 'refuse' | 'drop'

export interface DnsListConfig {
  /** Lower case. */
  readonly zone: string
  readonly kind: 'block' | 'allow'
  /** Networks of the answers that count as listed. */
  readonly answers: readonly string[]
  readonly action: Exclude<CheckAction, 'off'>
  readonly text?: string
  readonly listeners: readonly string[]
}

/** What becomes of a message that fails: `note` is a field in its header, and a line in the log. */
export type OnFailure = 'note' | 'defer' | 'reject'

/** SPF, DKIM, DMARC and ARC. */
export interface AuthenticationConfig {
  readonly listeners: readonly string[]
  readonly onSpfFail: OnFailure
  /** Where the author's domain asks to reject. */
  readonly onDmarcFail: OnFailure
  /** Domains, in lower case, whose word on what a message was before they changed it counts. */
  readonly trustedArcSealers: readonly string[]
  readonly timeoutMs: number
  /** Of each worker. */
  readonly threads: number
}

/** A scanner that speaks rspamd's HTTP. */
export interface ScannerConfig {
  readonly url: string
  readonly listeners: readonly string[]
  readonly timeoutMs: number
  /** Larger messages are not scanned. */
  readonly maxBytes: number
  readonly whenDown: 'accept' | 'defer'
}

/** What becomes of whoever does not pass a check; `note` is a line in the log. */
export type CheckAction = 'off' | 'note' | 'defer' | 'refuse'

/** What is looked at in EHLO and HELO, on listeners for mail from other hosts. */
export interface HelloChecksConfig {
  readonly syntax: CheckAction
  readonly unqualified: CheckAction
  readonly ownName: CheckAction
  readonly addressLiteral: CheckAction
}

export interface Rate {
  readonly count: number
  readonly perMs: number
}

export type Ceiling = number | 'unlimited'

export interface LimitsConfig {
  readonly maxConnectionsPerWorker: Ceiling
  /** Resident bytes of one worker; over it new connections are told to come back. */
  readonly workerMemoryBytes: Ceiling
  /** Handshakes under way in one worker, some 50 KB each; over it the one that has taken longest is given up. */
  readonly maxTlsHandshakesPerWorker: number
  readonly tlsHandshakeTimeoutMs: number
  /** After SIGTERM, or for a worker that a reload replaced: how long sessions may take to end. */
  readonly drainTimeoutMs: number
  /** From `postern drain` to the stop: how long health checks fail while clients are still served. */
  readonly drainNoticeMs: number
  /** Password hashes computed at once in one worker. */
  readonly passwordChecksAtOnce: number
  /** Password checks that wait for their turn; over it, signing in is unavailable. */
  readonly passwordChecksWaiting: number
}

/** Something that can be meant, but rarely is: told loudly at every start. */
export interface ConfigWarning {
  readonly file: string
  readonly line: number
  readonly path: string
  readonly message: string
}

/** One thing that is wrong, where, and how it should be. Secrets are never in it. */
export interface ConfigProblem {
  readonly file: string
  /** From 1; 0 when the whole file is meant. */
  readonly line: number
  /** As in `listener.mx.bind[1]`; empty for the whole file. */
  readonly path: string
  readonly expected: string
  readonly found: string
  /** As in "did you mean `trusted-networks`?" */
  readonly hint?: string
}

export type ConfigOutcome =
  | { readonly ok: true; readonly config: Config; readonly warnings: readonly ConfigWarning[] }
  | { readonly ok: false; readonly problems: readonly ConfigProblem[] }
