export { StoreError, storeErrorCodes, type StoreErrorCode } from './errors.ts'
export { limits, type MaildirLimits } from './limits.ts'
export type { Disk, LocalStats, MaildirProblem, MaildirStore, MaildirStoreOptions, QuotaLimits } from './options.ts'
export { openMaildirStore } from './store.ts'
