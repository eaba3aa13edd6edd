import type { ConnectionInfo } from './connection.ts'

/** Who signed in. */
export interface Principal {
  /** The account whose mail it is. */
  readonly account: string
  /** The name that was given. */
  readonly username: string
}

/** A password or token: prints as `[secret]` wherever it lands by mistake. Made by `secret()`. */
export interface Secret {
  /** The text itself, for the one place that compares or sends it. */
  reveal(): string
}

/** What a client signs in with (RFC 4616 for PLAIN). */
export interface Credentials {
  readonly mechanism: 'PLAIN' | 'LOGIN'
  /** Authentication identity: whose password it is. */
  readonly username: string
  /** Authorization identity, when it is given and differs (RFC 4616 section 2). */
  readonly actAs?: string
  readonly password: Secret
}

/** A client whose certificate was verified, by us or by a trusted balancer (RFC 4422 appendix A). */
export interface CertificateClaim {
  /** The common name of the certificate's subject. */
  readonly commonName: string
  /** Authorization identity, when it is given. */
  readonly actAs?: string
}

/** `unavailable` is not `denied`: the directory could not be asked, so try again later. */
export type AuthOutcome =
  | { readonly outcome: 'granted'; readonly principal: Principal }
  | { readonly outcome: 'denied' }
  | { readonly outcome: 'unavailable'; readonly cause: unknown }

/** Checks who signs in: an accounts file, a directory, an HTTP service. What it lacks is not offered to clients. */
export interface Authenticator {
  /**
   * Checks a password (PLAIN, LOGIN, and the LOGIN command of IMAP). Takes the same time for an unknown user as for a
   * wrong password. Rejects never.
   */
  verify?: ((credentials: Credentials, connection: ConnectionInfo) => Promise<AuthOutcome>) | undefined
  /** Signs in by a certificate alone (EXTERNAL). Rejects never. */
  verifyCertificate?: ((claim: CertificateClaim, connection: ConnectionInfo) => Promise<AuthOutcome>) | undefined
}
