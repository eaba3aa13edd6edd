import type { MaildirStore, MaildirStoreOptions } from './options.ts'

/** Opens a store over `options.root`. Costs nothing until an account is used. */
export function openMaildirStore(options: MaildirStoreOptions): MaildirStore {
  throw new Error(`not opened: ${options.root}`)
}
