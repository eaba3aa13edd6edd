export { limits, type ImapLimits } from './limits.ts'
export type { ImapSessionOptions } from './session/options.ts'
export { refusalResponse, type AcceptRefusal } from './session/refusal.ts'
export { createImapSession } from './session/session.ts'
