import { UsageError } from '../command.ts'

/** What is spoken. Submission is SMTP with a login before the mail. */
export type Protocol = 'smtp' | 'lmtp' | 'submission' | 'imap'

/** Where the load goes, and how it is spoken to. */
export interface Target {
  readonly protocol: Protocol
  readonly host: string
  readonly port: number
  readonly tls: 'off' | 'starttls' | 'implicit'
  /** From the URL; who signs in, where a mode does. */
  readonly login?: Login
}

export interface Login {
  readonly user: string
  readonly password: string
}

interface Scheme {
  readonly protocol: Protocol
  readonly port: number
  readonly tls: 'off' | 'implicit'
}

/** RFC 8314 names the implicit ones; the ports are those of the IANA registry. */
const schemes: Readonly<Record<string, Scheme>> = {
  smtp: { protocol: 'smtp', port: 25, tls: 'off' },
  smtps: { protocol: 'smtp', port: 465, tls: 'implicit' },
  lmtp: { protocol: 'lmtp', port: 24, tls: 'off' },
  submission: { protocol: 'submission', port: 587, tls: 'off' },
  submissions: { protocol: 'submission', port: 465, tls: 'implicit' },
  imap: { protocol: 'imap', port: 143, tls: 'off' },
  imaps: { protocol: 'imap', port: 993, tls: 'implicit' },
}

/** Reads `scheme://[user:password@]host[:port]`. */
export function parseTarget(text: string, usesStartTls: boolean): Target {
  const url = URL.parse(text)
  const name = url?.protocol.slice(0, -1) ?? ''
  const scheme = Object.hasOwn(schemes, name) ? schemes[name] : undefined
  if (url === null || scheme === undefined || url.hostname === '') {
    throw new UsageError(`the target is SCHEME://HOST:PORT with a scheme of ${Object.keys(schemes).join(', ')}`)
  }
  if (usesStartTls && scheme.tls === 'implicit') throw new UsageError(`${name} is TLS from its first byte: no STARTTLS`)
  return {
    protocol: scheme.protocol,
    host: url.hostname.replace(/^\[(.*)\]$/, '$1'),
    port: url.port === '' ? scheme.port : Number(url.port),
    tls: usesStartTls ? 'starttls' : scheme.tls,
    ...(url.username !== '' && {
      login: { user: decodeURIComponent(url.username), password: decodeURIComponent(url.password) },
    }),
  }
}
