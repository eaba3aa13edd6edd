export { capabilitiesOf, extensionsOf, type BackendWay, type Capabilities } from './client/capabilities.ts'
export { IdleConnections, mayKeep, type IdleLimits } from './client/idle-connections.ts'
export {
  inspectBackend,
  probeBareNewline,
  type BackendReport,
  type InspectOptions,
  type Inspection,
  type NewlineProbe,
} from './client/inspect.ts'
export {
  nameOf,
  type Announcement,
  type Backend,
  type RelayObserver,
  type RelayOptions,
  type UpstreamCredentials,
  type UpstreamTls,
} from './client/options.ts'
export { verifyAtBackend, type Verification } from './client/verify.ts'
export type { UpstreamFailure } from './client/failures.ts'
export { createRelay } from './client/relay.ts'
export { smtpErrors, upstreamErrors, type SmtpErrorCode, type UpstreamErrorCode } from './errors.ts'
export {
  clientLimits,
  limits,
  patienceOfRfc5321,
  serverLimits,
  type SmtpClientLimits,
  type SmtpLimits,
  type SmtpServerLimits,
} from './limits.ts'
export type { ReversePathMoment, SmtpBackend, Verdict } from './server/backend.ts'
export {
  createSmtpServer,
  type SmtpServer,
  type SmtpServerObserver,
  type SmtpServerOptions,
  type SmtpTlsOptions,
} from './server/smtp-server.ts'
export type { DeliverableRoute, Delivery, DeliveryReply, Destination, TransactionStart } from './session/destination.ts'
export {
  commonExtensions,
  type DestinationExtension,
  type DestinationExtensions,
} from './session/destination-extensions.ts'
export type { DeliveredJournal, DeliveredPair } from './session/remembered-fan-out.ts'
export type {
  BareNewlinePolicy,
  GreetingDelay,
  NulPolicy,
  SessionOpening,
  SmtpMode,
  SmtpSessionOptions,
} from './session/options.ts'
export { refusalReply } from './session/refusal.ts'
export { createSmtpSession } from './session/session.ts'
export { encodeReply, type Reply } from './wire/reply.ts'
export { returnPathField, type Hello } from './wire/trace.ts'
