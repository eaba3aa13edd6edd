import type { Account, Mailbox, MessageWriter } from '@postern/core'
import type { MaildirStore } from '@postern/maildir'
import { storeAround } from '../destination/store-around.ts'
import type { Counts } from './counts.ts'

/** What is counted and timed: words of a closed list, which are labels. */
export type StoreOperation =
  | 'open-account'
  | 'deliver'
  | 'commit'
  | 'list'
  | 'status'
  | 'create'
  | 'delete'
  | 'rename'
  | 'open'
  | 'refresh'
  | 'content'
  | 'set-flags'
  | 'copy'
  | 'move'
  | 'expunge'

type Tell = (operation: StoreOperation, ms: number, outcome: string) => void
type Operations<T> = { readonly [Name in keyof T]?: StoreOperation }

/** The store, with every operation of it counted and timed. */
export function countedStore(store: MaildirStore, counts: Counts): MaildirStore {
  const tell: Tell = (operation, ms, outcome) => {
    counts.count('postern_store_operations_total', operation, outcome).value++
    counts.distribution('postern_store_operation_seconds', operation).observe(ms / 1000)
  }
  const openAccount = timed(store.openAccount.bind(store), 'open-account', tell)
  const deliver = timed(store.deliver.bind(store), 'deliver', tell)
  return storeAround(store, {
    openAccount: async (account) => countedAccount(await openAccount(account), tell),
    deliver: async (...asked) => {
      const begun = await deliver(...asked)
      if (begun.ok) time<MessageWriter>(begun.value, { commit: 'commit', commitWith: 'commit' }, tell)
      return begun
    },
  })
}

function countedAccount(account: Account, tell: Tell): Account {
  time(
    account,
    { list: 'list', status: 'status', create: 'create', delete: 'delete', rename: 'rename', open: 'open' },
    tell,
  )
  const open = account.open.bind(account)
  account.open = async (...asked) => {
    const opened = await open(...asked)
    if (opened.ok) time<Mailbox>(opened.value, ofMailbox, tell)
    return opened
  }
  return account
}

const ofMailbox: Operations<Mailbox> = {
  refresh: 'refresh',
  content: 'content',
  setFlags: 'set-flags',
  copy: 'copy',
  move: 'move',
  expunge: 'expunge',
}

/**
 * In place: what a store hands out must stay what it knows again, as the writers that are committed together, and what is not
 * timed must not cost a call more. What an operation asks of the same object is a part of it, and not counted by itself.
 */
function time<T extends object>(target: T, operations: Operations<T>, tell: Tell): void {
  const methods = target as Record<string, ((...asked: unknown[]) => Promise<unknown>) | undefined>
  let isInside = false
  for (const [name, operation] of Object.entries(operations) as [string, StoreOperation][]) {
    const method = methods[name]?.bind(target)
    if (method === undefined) continue
    const whole = timed(method, operation, tell)
    methods[name] = async (...asked) => {
      if (isInside) return method(...asked)
      isInside = true
      try {
        return await whole(...asked)
      } finally {
        isInside = false
      }
    }
  }
}

function timed<Asked extends unknown[], Answer>(
  method: (...asked: Asked) => Promise<Answer>,
  operation: StoreOperation,
  tell: Tell,
): (...asked: Asked) => Promise<Answer> {
  return async (...asked) => {
    const began = performance.now()
    let outcome = 'failed'
    try {
      const answer = await method(...asked)
      outcome = outcomeOf(answer)
      return answer
    } finally {
      tell(operation, performance.now() - began, outcome)
    }
  }
}

function outcomeOf(answer: unknown): string {
  const { ok, refusal } = (answer ?? {}) as { readonly ok?: unknown; readonly refusal?: unknown }
  return ok === false ? String(refusal) : 'ok'
}
