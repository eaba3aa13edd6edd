export { ContentTruncatedError, imapErrors, type ImapErrorCode } from './errors.ts'
export {
  limits,
  proxyLimits,
  serverLimits,
  type ImapLimits,
  type ImapProxyLimits,
  type ImapServerLimits,
} from './limits.ts'
export type {
  BackendConnecting,
  BackendCredentials,
  BackendLink,
  ImapLogins,
  LoginBackends,
  LoginQuestion,
  LoginRoute,
} from './proxy/backends.ts'
export { inspectImapBackend, type ImapInspection } from './proxy/inspect.ts'
export { createImapServer, type ImapServer, type ImapServerOptions, type ImapTlsOptions } from './server/imap-server.ts'
export { showMail, type MailSource, type ShownMessage } from './server/shown-mail.ts'
export type { ImapSessionOptions } from './session/options.ts'
export { refusalResponse } from './session/refusal.ts'
export { createImapSession } from './session/session.ts'
