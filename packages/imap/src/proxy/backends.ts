/* What a program that proxies IMAP tells its sessions: where the mail of a user is, and how to reach it. */
import type { Awaitable, ConnectionInfo, Decision, Secret } from '@postern/core'
import type { Duplex } from 'node:stream'

/** Where the mail of users is. One object may serve every session of a listener. */
export interface ImapLogins {
  /**
   * Who says whether a password or token is right: the authenticator of the session, and then backends are signed in at
   * as their `credentials` say; or the backend itself, which is told what the client gave. With `backend` the
   * authenticator judges those whose mail is in the store.
   */
  readonly judge: 'authenticator' | 'backend'
  /**
   * Backends that a client may come to ask for the client's own password: what signs in without one is not offered where the
   * authenticator judges.
   */
  readonly needsPassword: boolean
  /** Asked once for each attempt to sign in. Rejects never. */
  readonly routeOf: (login: LoginQuestion) => Awaitable<LoginRoute>
  /**
   * The backend of a route refused the user. Where the route was remembered, the user may have moved meanwhile.
   *
   * @returns the route that stands now, when it is another one; nothing, when the refusal stands. Rejects never.
   */
  readonly reconsider?: ((login: LoginQuestion, before: LoginRoute) => Awaitable<LoginRoute | undefined>) | undefined
  /**
   * What the backends offer that a client may come to, each by itself, in capitals. Before the login nothing is offered that
   * one of them lacks. `undefined` stands for one of which nothing is known.
   */
  readonly offers: () => readonly (readonly string[] | undefined)[]
  /**
   * Asked when a backend has judged, since others may have failed meanwhile: why the client is not told what the verdict
   * was, for the operator; or nothing. An authenticator looks after itself.
   */
  readonly withholds?: ((login: LoginQuestion) => string | undefined) | undefined
}

/** Who wants to sign in, and from where. */
export interface LoginQuestion {
  readonly username: string
  readonly connection: ConnectionInfo
}

/** Where a login leads. */
export type LoginRoute =
  /** Into the session's own store. */
  | { readonly to: 'store' }
  | { readonly to: 'backend'; readonly backends: LoginBackends }
  /** `defer` where nobody can say; `refuse` where there is no mail for this user. */
  | { readonly to: 'nowhere'; readonly decision: Exclude<Decision, { readonly verdict: 'pass' }> }

/** The backends of one login, which hold the same mail. */
export interface LoginBackends {
  /** For logs. */
  readonly upstream: string
  /** `optional`: where it is offered. `implicit`: the links have it already. */
  readonly tls: 'off' | 'optional' | 'starttls' | 'implicit'
  /** Credentials are told without TLS as well. */
  readonly sendsCredentialsInClear: boolean
  /** The client is announced by ID (RFC 2971): `required` refuses a backend that does not offer it. Only for backends that are trusted with it. */
  readonly announcesById: 'no' | 'if-offered' | 'required'
  /** Absent: the client's own. */
  readonly credentials?: BackendCredentials
  /** SASL mechanisms to sign in by; absent: LOGIN, or PLAIN where that cannot say it. */
  readonly mechanisms?: readonly string[]
  /** Connects to the next backend that has not been tried; the first one comes first. Rejects never. */
  next(signal: AbortSignal): Promise<BackendConnecting>
}

/** With what a user is signed in, in the place of what the client gave. */
export type BackendCredentials =
  /** One who may act for every user (RFC 4616, the authorization identity). */
  | { readonly as: 'master'; readonly username: string; readonly password: Secret }
  /**
   * What a directory gave for this user. Without a name it is the user's own; without password and token those of the client
   * stand, and are judged.
   */
  | { readonly as: 'given'; readonly username?: string; readonly password?: Secret; readonly token?: Secret }

/** Whoever is signed in so was not judged by the backend. */
export function givesProof(credentials: BackendCredentials): boolean {
  return credentials.as === 'master' || credentials.password !== undefined || credentials.token !== undefined
}

/** A connection to a backend, or why there is none to try any more. */
export type BackendConnecting =
  | { readonly ok: true; readonly link: BackendLink }
  | { readonly ok: false; readonly detail: string }

/** A connection to a backend, for one client. */
export interface BackendLink {
  readonly backend: string
  readonly socket: Duplex
  readonly isSecure: boolean
  /** The channel binding of RFC 9266, where TLS 1.3 ends here. */
  readonly tlsExporter?: Buffer | undefined
  /** Starts TLS on `socket`, to which nobody listens; the new link comes back. */
  secure(signal: AbortSignal): Promise<BackendConnecting>
  /** It speaks IMAP. */
  succeeded(capabilities: readonly string[]): void
  /** It does not; the socket is destroyed. `lost`: it closed the connection, which may be about the client. */
  failed(detail: string, how: 'lost' | 'unsound'): void
}
