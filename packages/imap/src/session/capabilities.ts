import { offeredMechanisms, type Authenticator, type ConnectionInfo, type StoreAbility } from '@postern/core'

/** What decides which capabilities are offered (RFC 3501 section 6.1.1). */
export interface CapabilityConditions {
  readonly connection: ConnectionInfo
  readonly authenticator: Authenticator
  /** Where the client may be handed on to. */
  readonly backends: { offers(name: string): boolean } | undefined
  readonly isLoggedIn: boolean
  /** The listener can start TLS. */
  readonly offersStartTls: boolean
  readonly maxAppendBytes: number
  readonly isCompressed: boolean
  /** Who runs the server has not taken it away (RFC 8437 section 7). */
  readonly mayUnauthenticate: boolean
  /** What the store can do beyond its contract. */
  readonly storeCan: readonly StoreAbility[]
}

/** In every state. */
const always = ['ID', 'ENABLE', 'IDLE'] as const

/** RFC 7888 section 6: one of LITERAL+ and LITERAL-, never both. Before login there is little room. */
const beforeLogin: readonly string[] = ['IMAP4rev1', 'IMAP4rev2', 'SASL-IR', 'LITERAL-', ...always]

/** Told before the login, since clients decide by them how they go on, and done behind it: by a backend, if the mail is there. */
const doneBehindLogin: ReadonlySet<string> = new Set(['IMAP4rev2', 'IDLE'])

/** Commands and responses that need a login. */
const afterLogin = [
  'IMAP4rev1',
  'IMAP4rev2',
  'SASL-IR',
  'LITERAL+',
  ...always,
  'NAMESPACE',
  'UIDPLUS',
  'UNSELECT',
  'MOVE',
  'CHILDREN',
  'LIST-EXTENDED',
  'LIST-STATUS',
  'SPECIAL-USE',
  'STATUS=SIZE',
  'ESEARCH',
  'SEARCHRES',
  'WITHIN',
  'PARTIAL',
  'SORT',
  'SORT=DISPLAY',
  'ESORT',
  'THREAD=ORDEREDSUBJECT',
  'THREAD=REFERENCES',
  'INPROGRESS',
  'BINARY',
  'UTF8=ACCEPT',
  'REPLACE',
  'PREVIEW',
] as const

/** Those that need a store that can. */
const byStore: readonly { readonly name: string; readonly needs: StoreAbility }[] = [
  { name: 'MULTIAPPEND', needs: 'commit-together' },
  { name: 'CREATE-SPECIAL-USE', needs: 'special-use' },
  { name: 'CONDSTORE', needs: 'modseq' },
  { name: 'QRESYNC', needs: 'modseq' },
  { name: 'OBJECTID', needs: 'object-ids' },
  { name: 'SAVEDATE', needs: 'save-dates' },
  { name: 'NOTIFY', needs: 'watch' },
  // RFC 9208 section 3.1: a capability for each resource. Limits are set by who runs the server, so there is no QUOTASET.
  { name: 'QUOTA', needs: 'quota' },
  { name: 'QUOTA=RES-STORAGE', needs: 'quota' },
  { name: 'QUOTA=RES-MESSAGE', needs: 'quota' },
]

/**
 * The capabilities of this moment, the only place that knows them: the greeting, CAPABILITY, and the reply to a login
 * say the same. Nothing is offered that is not done.
 */
export function capabilities({ connection, ...conditions }: CapabilityConditions): string {
  const { identity } = connection
  // A health check may greet and leave.
  if (identity.origin === 'proxy-itself') return 'IMAP4rev1 LOGINDISABLED'
  if (conditions.isLoggedIn) {
    const ofStore = byStore.filter(({ needs }) => conditions.storeCan.includes(needs)).map(({ name }) => name)
    // RFC 4978 section 3, RFC 8437 section 2
    const signOut = conditions.mayUnauthenticate ? ['UNAUTHENTICATE'] : []
    const uncompressed = conditions.isCompressed ? [] : ['COMPRESS=DEFLATE', ...signOut]
    return [...afterLogin, ...uncompressed, ...ofStore, `APPENDLIMIT=${conditions.maxAppendBytes}`].join(' ')
  }
  const { backends } = conditions
  const offered = beforeLogin.filter(
    (name) => backends === undefined || !doneBehindLogin.has(name) || backends.offers(name),
  )
  if (isSecure(connection)) {
    const { authenticator } = conditions
    const mechanisms = offeredMechanisms({ authenticator, connection }).map((mechanism) => `AUTH=${mechanism}`)
    // RFC 3501 section 6.2.3: LOGIN is a password too.
    const disabled = authenticator.verify === undefined ? ['LOGINDISABLED'] : []
    return [...offered, ...mechanisms, ...disabled].join(' ')
  }
  const startTls = conditions.offersStartTls ? ['STARTTLS'] : []
  return [...offered, ...startTls, 'LOGINDISABLED'].join(' ')
}

/** Protected by our TLS, or by that of a balancer whose word is trusted: passwords may be sent. */
export function isSecure(connection: ConnectionInfo): boolean {
  return connection.security.kind === 'tls'
}
