export type { CompatAuth, CompatCallback, CompatError, CompatOptions, CompatStream } from './options.ts'
export type { CompatAddress, CompatSession } from './session.ts'
export { SMTPServer } from './smtp-server.ts'
