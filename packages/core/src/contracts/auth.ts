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

/** What is kept of a password for SCRAM (RFC 5802 section 3): enough to check a proof, and no use for signing in. */
export interface ScramKeys {
  readonly salt: Buffer
  readonly iterations: number
  readonly storedKey: Buffer
  readonly serverKey: Buffer
}

/** Who begins a SCRAM exchange. */
export interface ScramClaim {
  readonly username: string
  /** Authorization identity, when it is given and differs. */
  readonly actAs?: string
}

/** What an authenticator knows for a SCRAM exchange. */
export type ScramOutcome =
  | { readonly outcome: 'found'; readonly keys: ScramKeys; readonly principal: Principal }
  /**
   * Nobody of this name can sign in so. The client is not told, and the exchange goes on to its end with keys that no
   * password gives: `keys`, as `decoyScramKeys` makes them, or else some that are made by a secret of this process.
   */
  | { readonly outcome: 'unknown'; readonly keys?: ScramKeys }
  | { readonly outcome: 'unavailable'; readonly cause: unknown }

/** A client with a token of OAuth 2.0 (RFC 6750), by OAUTHBEARER (RFC 7628) or its forerunner XOAUTH2. */
export interface TokenClaim {
  readonly mechanism: 'OAUTHBEARER' | 'XOAUTH2'
  /** Whose mail it wants. OAUTHBEARER may leave it out: then the token alone says who it is. */
  readonly username?: string
  readonly token: Secret
}

/** What a client whose token is refused is told, so that it can get another one (RFC 7628 section 3.2.2). */
export interface TokenHints {
  /** The scopes that a token must have, with blanks between. */
  readonly scope?: string
  /** Where the authorization server describes itself (RFC 8414). */
  readonly discoveryUrl?: string
}

/** Checks who signs in: an accounts file, a directory, an HTTP service. What it lacks is not offered to clients. */
export interface Authenticator {
  /**
   * Checks a password (PLAIN, LOGIN, and the LOGIN command of IMAP). Takes the same time for an unknown user as for a
   * wrong password. Rejects never.
   */
  verify?: ((credentials: Credentials, connection: ConnectionInfo) => Promise<AuthOutcome>) | undefined
  /** Looks keys up for SCRAM-SHA-256 and SCRAM-SHA-256-PLUS, as fast for an unknown user as for a known one. Rejects never. */
  scramKeys?: ((claim: ScramClaim, connection: ConnectionInfo) => Promise<ScramOutcome>) | undefined
  /** Checks a token, and that it is for whom the client says (OAUTHBEARER, XOAUTH2). Rejects never. */
  verifyToken?: ((claim: TokenClaim, connection: ConnectionInfo) => Promise<AuthOutcome>) | undefined
  readonly tokenHints?: TokenHints | undefined
  /** Signs in by a certificate alone (EXTERNAL). Rejects never. */
  verifyCertificate?: ((claim: CertificateClaim, connection: ConnectionInfo) => Promise<AuthOutcome>) | undefined
}
