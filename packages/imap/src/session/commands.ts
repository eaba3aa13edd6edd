import type { Awaitable } from '@postern/core'
import type { AnnouncedLiteral } from '../wire/framing.ts'
import type { Completion } from '../wire/response.ts'
import type { Tokens } from '../wire/tokens.ts'
import { capability, check, enable, id, logout, noop } from './commands/any-state.ts'
import { append, beginAppend } from './commands/append.ts'
import { authenticate } from './commands/authenticate.ts'
import { compress } from './commands/compress.ts'
import { copy, move, uidCopy, uidMove } from './commands/copy.ts'
import { expunge, uidExpunge } from './commands/expunge.ts'
import { fetch, uidFetch } from './commands/fetch.ts'
import { idle } from './commands/idle.ts'
import { list, lsub } from './commands/list.ts'
import { login } from './commands/login.ts'
import { create, deleteMailbox, namespace, rename, subscribe, unsubscribe } from './commands/mailboxes.ts'
import { getQuota, getQuotaRoot } from './commands/quota.ts'
import { beginReplace, beginUidReplace, replace } from './commands/replace.ts'
import { notify } from './commands/notify.ts'
import { search, uidSearch } from './commands/search.ts'
import { close, examine, select, unselect } from './commands/select.ts'
import { sort, uidSort } from './commands/sort.ts'
import { starttls } from './commands/starttls.ts'
import { status } from './commands/status.ts'
import { store, uidStore } from './commands/store.ts'
import { thread, uidThread } from './commands/thread.ts'
import { unauthenticate } from './commands/unauthenticate.ts'
import type { IncomingMessages, Outcome } from './outcome.ts'
import type { Phase, SessionState } from './state.ts'

export interface CommandSpec {
  /** The states in which the command is valid; in any other it is BAD. */
  readonly in: readonly Phase[]
  /** `args` stands behind the command's name. */
  readonly run: (state: SessionState, args: Tokens) => Awaitable<Outcome>
  /** When the selected mailbox is looked at, and told of what others did: before the command runs, or after. */
  readonly looks?: 'before' | 'after'
  /** It does nothing else than to look: that the mailbox is gone is all its answer (RFC 2180 section 3.3). */
  readonly onlyLooks?: true
  /** No EXPUNGE while it is answered (RFC 3501 section 7.4.1). */
  readonly holdsExpunges?: true
  /** It sends a password: refused in the clear before any of its literals is taken. */
  readonly sendsPassword?: true
  /** Its last argument is a message, which is streamed: what begins with the first of its octets. */
  readonly takesMessage?: BeginMessages
  /** A balancer's health check may use it. */
  readonly isForHealthChecks?: true
}

/** @returns `'argument'` when the announced literal is not the message yet. */
type BeginMessages = (
  state: SessionState,
  args: Tokens,
  literal: AnnouncedLiteral,
) => Promise<IncomingMessages | Completion | 'argument'>

const any: readonly Phase[] = ['not-authenticated', 'authenticated', 'selected']
const before: readonly Phase[] = ['not-authenticated']
const signedIn: readonly Phase[] = ['authenticated', 'selected']
const selected: readonly Phase[] = ['selected']

/** RFC 3501 section 6, in its order; the extensions name theirs. A name that is not here is BAD. */
const table: Readonly<Record<string, CommandSpec>> = {
  // 6.1, any state
  CAPABILITY: { in: any, run: capability, isForHealthChecks: true },
  NOOP: { in: any, run: noop, looks: 'after', onlyLooks: true, isForHealthChecks: true },
  LOGOUT: { in: any, run: logout, isForHealthChecks: true },
  ID: { in: any, run: id }, // RFC 2971
  ENABLE: { in: any, run: enable }, // RFC 5161; before login too, where nothing can come of it
  // 6.2, not authenticated
  STARTTLS: { in: before, run: starttls },
  AUTHENTICATE: { in: before, run: authenticate, sendsPassword: true },
  LOGIN: { in: before, run: login, sendsPassword: true },
  // 6.3, authenticated
  SELECT: { in: signedIn, run: select },
  EXAMINE: { in: signedIn, run: examine },
  CREATE: { in: signedIn, run: create, looks: 'after' },
  DELETE: { in: signedIn, run: deleteMailbox, looks: 'after' },
  RENAME: { in: signedIn, run: rename, looks: 'after' },
  SUBSCRIBE: { in: signedIn, run: subscribe, looks: 'after' },
  UNSUBSCRIBE: { in: signedIn, run: unsubscribe, looks: 'after' },
  LIST: { in: signedIn, run: list },
  LSUB: { in: signedIn, run: lsub },
  STATUS: { in: signedIn, run: status },
  APPEND: { in: signedIn, run: append, takesMessage: beginAppend, looks: 'after' },
  NAMESPACE: { in: signedIn, run: namespace }, // RFC 2342
  GETQUOTA: { in: signedIn, run: getQuota }, // RFC 9208
  GETQUOTAROOT: { in: signedIn, run: getQuotaRoot },
  IDLE: { in: signedIn, run: idle }, // RFC 2177
  NOTIFY: { in: signedIn, run: notify }, // RFC 5465
  COMPRESS: { in: signedIn, run: compress }, // RFC 4978
  UNAUTHENTICATE: { in: signedIn, run: unauthenticate }, // RFC 8437
  // 6.4, selected
  CHECK: { in: selected, run: check, looks: 'after', onlyLooks: true },
  CLOSE: { in: selected, run: close },
  UNSELECT: { in: selected, run: unselect }, // RFC 3691
  EXPUNGE: { in: selected, run: expunge, looks: 'after' },
  SEARCH: { in: selected, run: search, looks: 'before', holdsExpunges: true },
  FETCH: { in: selected, run: fetch, holdsExpunges: true },
  STORE: { in: selected, run: store, holdsExpunges: true },
  COPY: { in: selected, run: copy, looks: 'after' },
  MOVE: { in: selected, run: move, looks: 'after' }, // RFC 6851
  REPLACE: { in: selected, run: replace, takesMessage: beginReplace, looks: 'after' }, // RFC 8508
  'UID REPLACE': { in: selected, run: replace, takesMessage: beginUidReplace, looks: 'after' },
  // 6.4.8: another command than the one without UID, so EXPUNGE may be told with it
  'UID EXPUNGE': { in: selected, run: uidExpunge, looks: 'after' }, // RFC 4315
  // RFC 5256; their keys may hold sequence numbers, as those of UID SEARCH may.
  SORT: { in: selected, run: sort, looks: 'before', holdsExpunges: true },
  THREAD: { in: selected, run: thread, looks: 'before', holdsExpunges: true },
  'UID SORT': { in: selected, run: uidSort, looks: 'before', holdsExpunges: true },
  'UID THREAD': { in: selected, run: uidThread, looks: 'before', holdsExpunges: true },
  // Its keys may hold sequence numbers, which mean what they meant when the client sent them.
  'UID SEARCH': { in: selected, run: uidSearch, looks: 'before', holdsExpunges: true },
  'UID FETCH': { in: selected, run: uidFetch, looks: 'before' },
  'UID STORE': { in: selected, run: uidStore },
  'UID COPY': { in: selected, run: uidCopy, looks: 'after' },
  'UID MOVE': { in: selected, run: uidMove, looks: 'after' }, // RFC 6851
}

/** A map, so that no name that a client makes up finds anything else. */
export const commands: ReadonlyMap<string, CommandSpec> = new Map(Object.entries(table))
