/*
 * The one place where a listener's protocol becomes a package: how it refuses a connection that has no session yet, and
 * how it begins one.
 */
import { createImapSession, refusalResponse, type ImapSessionOptions } from '@postern/imap'
import { createSmtpSession, refusalReply, type SessionOpening, type SmtpSessionOptions } from '@postern/smtp'
import type { AcceptRefusal, Decision, SessionContext, SessionMachine, SessionObserver } from '@postern/core'

export interface Dialect {
  /** What is said to a client that is refused, line end included; empty for a refusal without a word. */
  refusal(why: AcceptRefusal | Exclude<Decision, { readonly verdict: 'pass' }>): string
  session(context: SessionContext, observer: SessionObserver, opening: SessionOpening): SessionMachine
  /** How long a whole session may take. */
  readonly maxSessionMs?: number
}

export function smtpDialect(options: Omit<SmtpSessionOptions, 'observer'>, maxSessionMs?: number): Dialect {
  return {
    refusal: (why) => refusalReply(why, options.hostname),
    session: (context, observer, opening) => createSmtpSession(context, { ...options, observer }, opening),
    ...(maxSessionMs !== undefined && { maxSessionMs }),
  }
}

export function imapDialect(options: Omit<ImapSessionOptions, 'observer'>): Dialect {
  return {
    refusal: (why) => refusalResponse(why, options.hostname),
    session: (context, observer) => createImapSession(context, { ...options, observer }),
  }
}
