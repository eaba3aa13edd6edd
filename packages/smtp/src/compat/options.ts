import type { Readable } from 'node:stream'
import type { SecureContextOptions } from 'node:tls'
import type { SmtpServerOptions } from '../server/smtp-server.ts'
import type { CompatAddress, CompatSession } from './session.ts'

/** An error with `responseCode` is said with that code. */
export interface CompatError extends Error {
  responseCode?: number
}

/** Called once, with an error to refuse. */
export type CompatCallback<T = unknown> = (error?: CompatError | null, value?: T) => void

/** How a client signs in. */
export interface CompatAuth {
  readonly method: string
  readonly username: string
  readonly password: string
}

/** The message. `byteLength` is what was read of it so far; it ends with an error when it is too big. */
export type CompatStream = Readable & { byteLength: number; sizeExceeded: boolean }

/**
 * The options of smtp-server that are honoured here. Others are not taken, so that a program that relies on one does not
 * compile instead of behaving otherwise.
 */
export interface CompatOptions extends Pick<SecureContextOptions, 'key' | 'cert' | 'ca' | 'ciphers' | 'minVersion'> {
  /** TLS from the first byte. */
  readonly secure?: boolean
  /** In greetings and replies; the name of the machine when absent. */
  readonly name?: string
  /** The largest message. Over it 552, whatever `onData` says. */
  readonly size?: number
  readonly lmtp?: boolean
  /** Mail is taken without a sign-in. */
  readonly authOptional?: boolean
  /** AUTH is offered in the clear. */
  readonly allowInsecureAuth?: boolean
  /** `AUTH` and `STARTTLS` can be switched off. */
  readonly disabledCommands?: readonly ('AUTH' | 'STARTTLS')[]
  readonly hideSTARTTLS?: boolean
  readonly maxClients?: number
  /** Milliseconds that a client may take for a command. */
  readonly socketTimeout?: number
  /** Milliseconds that sessions have to finish when the server is closed. */
  readonly closeTimeout?: number
  /** `true`: everybody must send a PROXY header, v1 or v2. A list of addresses and networks: these must, and others may not. */
  readonly useProxy?: boolean | readonly string[]
  /** Looks up names of clients for `clientHostname`. */
  readonly clientNames?: SmtpServerOptions['clientNames']
  /** A client has come. */
  readonly onConnect?: (session: CompatSession, callback: CompatCallback) => void
  /** A client wants to sign in. A `user` grants it. Without this AUTH is not offered. */
  readonly onAuth?: (
    auth: CompatAuth,
    session: CompatSession,
    callback: CompatCallback<{ readonly user?: unknown; readonly message?: string }>,
  ) => void
  /** MAIL. */
  readonly onMailFrom?: (address: CompatAddress, session: CompatSession, callback: CompatCallback) => void
  /** RCPT. Without it every recipient is taken. */
  readonly onRcptTo?: (address: CompatAddress, session: CompatSession, callback: CompatCallback) => void
  /** With LMTP the callback may be given a list: a text or an error for each recipient. */
  readonly onData?: (
    stream: CompatStream,
    session: CompatSession,
    callback: CompatCallback<string | readonly (string | CompatError)[]>,
  ) => void
  /** The session has ended. */
  readonly onClose?: (session: CompatSession) => void
}
