import type { ListenerProtocol, SaslMechanism, TlsMode } from '@postern/core'
import type { BackendProtocol } from './backend-address.ts'
import type {
  AccessAction,
  Announce,
  Balance,
  BareNewline,
  Ceiling,
  CheckAction,
  ClientCertificates,
  LogLevel,
  Nul,
  OnFailure,
  PassedTlv,
  ProxyMode,
  Rate,
  SubmissionSender,
  UpstreamTlsMode,
} from './schema.ts'

/** A configuration file in which every key has the right type; what keys mean together is not checked yet. */
export interface ConfigFile {
  readonly server: {
    readonly hostname?: string | undefined
    readonly workers: number | 'auto'
    readonly 'data-dir': string
    readonly user?: string | undefined
  }
  readonly proxy: {
    readonly 'trusted-networks': readonly string[]
    readonly 'header-timeout': number
    readonly 'max-header-bytes': number
  }
  readonly listener: Readonly<Record<string, ListenerTable>>
  readonly upstream: Readonly<Record<string, UpstreamTable>>
  readonly lookup: Readonly<Record<string, LookupTable>>
  readonly route: readonly RouteTable[]
  readonly tls: {
    readonly acme?: AcmeTable | undefined
    readonly certificates: readonly { readonly cert: string; readonly key: string }[]
    readonly 'min-version': '1.2' | '1.3'
    readonly ciphers?: string | undefined
    readonly 'client-certificates': ClientCertificates
    readonly 'client-ca'?: string | undefined
  }
  readonly accounts: {
    readonly file?: string | undefined
    readonly 'client-certificates': boolean
    readonly oauth?: OauthTable | undefined
  }
  readonly smtp: {
    readonly 'local-domains'?: readonly string[] | undefined
    readonly 'max-message-size': number
    readonly 'max-recipients': number
    readonly 'bare-newline': BareNewline
    readonly nul: Nul
    readonly 'submission-sender': SubmissionSender
    readonly 'subaddress-separator': '+' | '-' | '=' | '_' | 'off'
    readonly 'error-delay': number | 'off'
    readonly 'greeting-delay': number | 'off'
    readonly 'greeting-tease': boolean
    readonly 'first-command-timeout': number
    readonly 'command-timeout': number
    readonly 'data-timeout': number
    readonly 'min-data-rate': number
    readonly 'session-timeout': number | 'off'
    readonly 'max-command-line': number
    readonly 'max-header-size': number
    readonly 'max-hops': number
    readonly 'max-errors': number
    readonly 'max-idle-commands': number
    readonly 'max-failed-logins': number
    readonly 'relay-networks': readonly string[]
    readonly multi: 'defer' | 'fanout'
    readonly 'xclient-networks': readonly string[]
    readonly 'xforward-networks': readonly string[]
  }
  readonly imap: { readonly 'id-networks': readonly string[]; readonly unauthenticate: boolean }
  readonly dns: {
    readonly servers: readonly string[]
    readonly timeout: number
    readonly tries: number
    readonly 'client-names': boolean
  }
  readonly policy: PolicyTable
  readonly authentication: {
    readonly check: boolean
    readonly listeners?: readonly string[] | undefined
    readonly 'on-spf-fail': OnFailure
    readonly 'on-dmarc-fail': OnFailure
    readonly 'trusted-arc-sealers': readonly string[]
    readonly timeout: number
    readonly threads: number
  }
  readonly scanner?:
    | {
        readonly url: string
        readonly listeners?: readonly string[] | undefined
        readonly timeout: number
        readonly 'max-size': number
        readonly 'when-down': 'accept' | 'defer'
      }
    | undefined
  readonly limits: {
    readonly 'max-connections-per-worker': Ceiling
    readonly 'worker-memory': Ceiling
    readonly 'max-tls-handshakes-per-worker': number
    readonly 'tls-handshake-timeout': number
    readonly 'drain-timeout': number
    readonly 'drain-notice': number
    readonly 'password-checks-at-once': number
    readonly 'password-checks-waiting': number
  }
  readonly log: { readonly level: LogLevel }
  readonly admin: AdminTable
}

/** `[admin]` */
export interface AdminTable {
  readonly bind: string
  readonly 'token-file'?: string | undefined
}

/** `[policy]` */
export interface PolicyTable {
  readonly deny: readonly string[]
  readonly 'deny-reply'?: { readonly code: number; readonly text: string } | undefined
  readonly 'ignored-hosts': readonly string[]
  readonly 'exempt-networks': readonly string[]
  readonly access: readonly {
    readonly networks: readonly string[]
    readonly action: AccessAction
    readonly code?: number | undefined
    readonly text?: string | undefined
    readonly listeners?: readonly string[] | undefined
  }[]
  readonly 'dns-list': readonly {
    readonly zone: string
    readonly kind: 'block' | 'allow'
    readonly answers: readonly string[]
    readonly action: Exclude<CheckAction, 'off'>
    readonly text?: string | undefined
    readonly listeners?: readonly string[] | undefined
  }[]
  readonly hello: {
    readonly syntax: CheckAction
    readonly unqualified: CheckAction
    readonly 'own-name': CheckAction
    readonly 'address-literal': CheckAction
  }
  readonly 'network-bits': { readonly ipv4: number; readonly ipv6: number }
  readonly rate: {
    readonly 'connections-per-client': Rate | 'unlimited'
    readonly 'connections-per-network': Rate | 'unlimited'
    readonly 'commands-per-client': Rate | 'unlimited'
    readonly 'messages-per-client': Rate | 'unlimited'
    readonly 'messages-per-user': Rate | 'unlimited'
    readonly 'recipients-per-client': Rate | 'unlimited'
    readonly 'recipients-per-user': Rate | 'unlimited'
    readonly 'failed-logins-per-client': Rate | 'unlimited'
    readonly 'failed-logins-per-user': Rate | 'unlimited'
  }
  readonly concurrency: {
    readonly 'connections-per-client': Ceiling
    readonly 'connections-per-network': Ceiling
    readonly 'sessions-per-user': Ceiling
  }
  readonly ban: { readonly first: number; readonly longest: number }
  readonly fleet?: { readonly url: string; readonly prefix: string; readonly timeout: number } | undefined
}

/** `[accounts.oauth]` */
export interface OauthTable {
  readonly 'introspection-url': string
  readonly 'client-id'?: string | undefined
  readonly 'client-secret-file'?: string | undefined
  readonly 'account-claim': string
  readonly scope?: string | undefined
  readonly audience?: string | undefined
  readonly 'discovery-url'?: string | undefined
  readonly timeout: number
  readonly 'cache-time': number | 'off'
}

/** `[tls.acme]`. */
export interface AcmeTable {
  readonly names: readonly string[]
  readonly 'agree-to-terms': boolean
  readonly directory: string
  readonly email?: string | undefined
  readonly bind?: string | undefined
  readonly folder?: string | undefined
  readonly 'key-type': 'ecdsa' | 'rsa'
  readonly 'renew-before': number
  readonly 'external-account'?: { readonly 'key-id': string; readonly 'key-file': string } | undefined
}

export interface ListenerTable {
  readonly protocol: ListenerProtocol
  readonly bind: string | readonly string[]
  readonly tls: TlsMode
  readonly 'require-tls': boolean
  readonly 'max-connections': Ceiling
  readonly 'sign-in': 'accounts' | 'upstream'
  readonly 'client-certificates'?: ClientCertificates | undefined
  readonly 'when-backends-down': 'defer' | 'refuse'
  readonly proxy: {
    readonly mode?: ProxyMode | undefined
    readonly 'trusted-networks'?: readonly string[] | undefined
    readonly 'optional-wait': number
    readonly 'tls-networks'?: readonly string[] | undefined
    readonly 'refuse-second-header': boolean
  }
}

/** `[upstream.NAME]` */
export interface UpstreamTable {
  readonly protocol: BackendProtocol
  readonly backends: readonly (
    | string
    | {
        readonly address: string
        readonly name?: string | undefined
        readonly weight: number
        readonly backup: boolean
      }
  )[]
  readonly balance: Balance
  readonly announce?: Announce | undefined
  readonly 'announce-optional': boolean
  readonly 'max-header-bytes': number
  readonly 'pass-tlvs': readonly PassedTlv[]
  readonly 'header-checksum': boolean
  readonly tls: UpstreamTlsMode
  readonly 'tls-ca'?: string | undefined
  readonly 'tls-server-name'?: string | undefined
  readonly 'tls-fingerprints'?: readonly string[] | undefined
  readonly 'tls-cert'?: string | undefined
  readonly 'tls-key'?: string | undefined
  readonly 'max-connections': Ceiling
  readonly 'idle-connections'?: number | 'off' | undefined
  readonly 'idle-time'?: number | undefined
  readonly 'credentials-in-clear': boolean
  readonly 'sign-in-mechanisms'?: readonly SaslMechanism[] | undefined
  readonly 'master-user'?: string | undefined
  readonly 'master-password-file'?: string | undefined
  readonly 'slow-start': number | 'off'
  readonly timeouts: 'near' | 'rfc5321'
  readonly health: {
    readonly check: boolean
    readonly interval: number
    readonly timeout: number
    readonly rise: number
    readonly fall: number
  }
}

/** `[[route]]` */
export interface RouteTable {
  readonly recipients?: readonly string[] | undefined
  readonly users?: readonly string[] | undefined
  readonly 'server-names'?: readonly string[] | undefined
  readonly authorities?: readonly string[] | undefined
  readonly clients?: readonly string[] | undefined
  readonly listeners?: readonly string[] | undefined
  readonly to?: string | undefined
  readonly ask?: string | undefined
}

/** `[lookup.NAME]` */
export interface LookupTable {
  readonly url: string
  readonly dialect: 'nginx' | 'json'
  readonly prefix: string
  readonly timeout: number
  readonly retries: number
  readonly 'cache-time': number | 'off'
  readonly 'cache-entries': number
  readonly 'when-down': 'defer' | 'next'
  readonly 'names-recipients'?: boolean | undefined
}
