export { StoreError, storeErrorCodes, type StoreErrorCode } from './errors.ts'
export { limits, type MaildirLimits } from './limits.ts'
export type { Caller, FileOpener, OpenFile } from './local-file.ts'
export type {
  Disk,
  LocalChanges,
  LocalStats,
  MaildirProblem,
  MaildirStore,
  MaildirStoreOptions,
  QuotaLimits,
} from './options.ts'
export { openMaildirStore } from './store.ts'
