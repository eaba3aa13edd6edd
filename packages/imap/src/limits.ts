/** Every bound of this package. Sessions take them from `ImapSessionOptions.limits`, so that an operator can move one. */
export interface ImapLimits {
  /** Octets of one command line before login, without its literals. RFC 2683 section 3.2.1.5 asks for 8000. Over it: BYE. */
  readonly maxLineBytesBeforeLogin: number
  /** The same for ID, which RFC 2971 section 3.3 lets be 30 pairs of 1,054 octets. Over it: BYE. */
  readonly maxIdLineBytes: number
  /** The same where tokens are taken (RFC 7628), of which large providers make some of 4 KiB; as long as in SMTP (RFC 4954 section 4.3). */
  readonly maxTokenLineBytes: number
  /** Octets of one command line after login. Room for a UID set of some 8,000 numbers. Over it: skipped, BAD. */
  readonly maxLineBytes: number
  /** One literal before login: a user name or a password. Over it: NO [TOOBIG] before the continuation. */
  readonly maxLiteralBytesBeforeLogin: number
  /** One literal after login that is no message: a mailbox name, a search string. Over it: NO [TOOBIG]. */
  readonly maxLiteralBytes: number
  /** RFC 7888 section 5 (LITERAL-): the largest non-synchronizing literal before login. After it any may come (LITERAL+). */
  readonly maxNonSyncLiteralBytes: number
  /** One whole command with all its literals, message literals apart: what one connection can make us hold. */
  readonly maxCommandBytes: number
  /** Octets of lines thrown away to find the end of a refused command. Over it: BYE, since the client will not stop. */
  readonly maxSkippedBytes: number
  /**
   * Octets of its literals that are thrown away: a message that was refused, and had been sent without waiting for our
   * word. They cost no memory. Over it: BYE.
   */
  readonly maxSkippedLiteralBytes: number
  /** Messages of one APPEND (RFC 3502). All of them wait on the disk for the last one. Over it: NO [LIMIT]. */
  readonly maxAppendMessages: number
  /** Octets of a tag. Longer ones are answered untagged, since an echo would serve nobody. */
  readonly maxTagBytes: number
  /** Nested parentheses, NOT and OR of one command. Clients nest three or four deep. */
  readonly maxDepth: number
  /** Elements of one list: flags, STATUS items, FETCH items, header field names, search keys. */
  readonly maxListElements: number
  /** Ranges of one sequence set. The cost of a set is bounded by the mailbox; this bounds reading it. */
  readonly maxSequenceRanges: number
  /**
   * Octets of the strings of one SEARCH together. Looking for a string costs its length times the text's in the worst
   * case, and people look for words. Over it: NO [LIMIT].
   */
  readonly maxSearchBytes: number
  /** Characters of a subject or a name that SORT and THREAD compare; kept for each message while they run. */
  readonly maxSortKeyLength: number
  /** Ids that THREAD follows of one References field: the nearest ones. They are kept for each message while it runs. */
  readonly maxReferences: number
  /** Messages that THREAD knows by reference only. What is referred to beyond them is left out. */
  readonly maxReferencedMessages: number
  /** Answers to answers in one thread. A deeper one begins a thread of its own, and is gathered by its subject. */
  readonly maxThreadDepth: number
  /**
   * Levels of threads that one THREAD climbs to see that a link closes no loop. Threads of people need some ten for each
   * message; hostile references could ask for a thousand times a thousand. Links beyond it are left out.
   */
  readonly maxThreadSteps: number
  /** How often a command that takes long says how far it is, in milliseconds (RFC 9585 section 4: not too often). */
  readonly progressEveryMs: number
  /**
   * Mailboxes that NOTIFY (RFC 5465) watches for one session: the store is asked about each of them once, and whenever
   * something changes there. Over it: NO [NOTIFICATIONOVERFLOW].
   */
  readonly maxNotifiedMailboxes: number
  /** Octets of a mailbox name as the client sends it. */
  readonly maxMailboxNameBytes: number
  /** RFC 2971 section 3.3: an ID list holds at most 30 pairs. */
  readonly maxIdPairs: number
  /** RFC 2971 section 3.3: octets of a field name. Over it: BAD. */
  readonly maxIdKeyBytes: number
  /** RFC 2971 section 3.3: octets of a value. Over it: BAD. */
  readonly maxIdValueBytes: number
  /** Failed logins on one connection. After them: BYE. */
  readonly maxFailedLogins: number
  /** Milliseconds by which the answer to a failed login is held back, times the failures so far. Dovecot waits two seconds. */
  readonly failedLoginDelayMs: number
  /** Commands answered BAD in a row before login. After them: BYE. Few, as no honest client needs them. */
  readonly maxBadCommandsBeforeLogin: number
  /** The same after login, where a client may try what this server does not know. */
  readonly maxBadCommands: number
  /** Milliseconds from the greeting to a login, in all. */
  readonly loginPatienceMs: number
  /** RFC 3501 section 5.4: at least 30 minutes between commands. */
  readonly autologoutMs: number
  /** While idling: how often "* OK Still here" keeps the state in address translators and balancers alive. */
  readonly idleKeepAliveMs: number
  /**
   * Messages, mailboxes or commands handled between two turns of the event loop. The dearest of them, a LIST of patterns
   * made to be slow, takes some 20 ms for each mailbox.
   */
  readonly piecesPerTurn: number
  /** Comparisons and links of SORT and THREAD between two turns of the event loop: a millisecond or two of work. */
  readonly stepsPerTurn: number
  /** Octets read from a message at once while it is sent or scanned. */
  readonly readChunkBytes: number
  /** Octets of one header block that ENVELOPE, HEADER.FIELDS and SEARCH look at; what follows is sent, not read. */
  readonly maxHeaderBytes: number
  /** Header octets kept for all body parts of one message together. Parts beyond it count as having no header. */
  readonly maxPartHeaderBytes: number
  /**
   * Addresses of one ENVELOPE, and of all envelopes of one BODYSTRUCTURE together. Four octets of a header become fifty
   * of a response when From is told as Sender and Reply-To too. What follows is left out.
   */
  readonly maxAddresses: number
  /** Nested multiparts and attached messages. A deeper one is an opaque part. Dovecot stops at 100. */
  readonly maxPartDepth: number
  /** Body parts of one message. What follows belongs to the last one. */
  readonly maxParts: number
  /** Octets of a message that are scanned for its structure or searched. Larger ones are opaque beyond it. */
  readonly maxScannedBytes: number
  /**
   * Octets that are decoded to answer the BINARY items of one message, of which there may be a thousand: each needs its
   * part from the start, twice. A client that takes a message of the default size whole needs a fifteenth. Over it:
   * NO [LIMIT]; a single item is always answered.
   */
  readonly maxDecodedBytes: number
  /** Keywords of one mailbox; a store may allow fewer. */
  readonly maxKeywords: number
  /** Octets of one keyword. */
  readonly maxKeywordBytes: number
}

/** The bounds of a session that was given no others. */
export const limits: ImapLimits = {
  maxLineBytesBeforeLogin: 8_192,
  maxIdLineBytes: 36_864,
  maxTokenLineBytes: 12_288,
  maxLineBytes: 65_536,
  maxLiteralBytesBeforeLogin: 1_024,
  maxLiteralBytes: 65_536,
  maxNonSyncLiteralBytes: 4_096,
  maxCommandBytes: 262_144,
  maxSkippedBytes: 1_048_576,
  maxSkippedLiteralBytes: 67_108_864,
  maxAppendMessages: 1_000,
  maxTagBytes: 128,
  maxDepth: 32,
  maxListElements: 1_000,
  maxSequenceRanges: 10_000,
  maxSearchBytes: 2_048,
  maxSortKeyLength: 256,
  maxReferences: 100,
  maxReferencedMessages: 100_000,
  maxThreadDepth: 1_000,
  maxThreadSteps: 4_000_000,
  progressEveryMs: 10_000,
  maxNotifiedMailboxes: 1_000,
  maxMailboxNameBytes: 1_024,
  maxIdPairs: 30,
  maxIdKeyBytes: 30,
  maxIdValueBytes: 1_024,
  maxFailedLogins: 3,
  failedLoginDelayMs: 1_000,
  maxBadCommandsBeforeLogin: 3,
  maxBadCommands: 10,
  loginPatienceMs: 180_000,
  autologoutMs: 1_800_000,
  idleKeepAliveMs: 120_000,
  piecesPerTurn: 16,
  stepsPerTurn: 8_192,
  readChunkBytes: 65_536,
  maxHeaderBytes: 1_048_576,
  maxPartHeaderBytes: 1_048_576,
  maxAddresses: 10_000,
  maxPartDepth: 64,
  maxParts: 2_000,
  maxScannedBytes: 268_435_456,
  maxDecodedBytes: 1_073_741_824,
  maxKeywords: 64,
  maxKeywordBytes: 128,
}

/** Every bound of `createImapServer` beside those of its sessions and of its connections, which are core's. */
export interface ImapServerLimits {
  /** The largest message that APPEND takes, unless the options say otherwise. */
  readonly maxAppendBytes: number
}

/** The bounds of a server that was given no others. */
export const serverLimits: ImapServerLimits = {
  maxAppendBytes: 26_214_400,
}

/** Every bound of a proxied login. */
export interface ImapProxyLimits {
  /** Milliseconds for a whole login at the backends, all attempts together. Over it: NO [UNAVAILABLE]. */
  readonly signInPatienceMs: number
  /** Milliseconds for one backend from the connection up to the credentials; then the next one is tried. */
  readonly openingPatienceMs: number
  /** Octets of one response of a backend before it has signed the client in. */
  readonly maxResponseBytes: number
  /** Octets of its untagged responses during the login that are kept for the client; what follows is left out. */
  readonly maxKeptBytes: number
  /** Octets of a name or password in quotes; longer ones go by SASL. RFC 2683 section 3.2.1.5 asks for lines of 1000. */
  readonly maxQuotedBytes: number
  /** Proxies that one login may pass, told as `x-proxy-ttl`: more is a loop. */
  readonly maxProxies: number
}

/** The bounds of proxied logins that were given no others. */
export const proxyLimits: ImapProxyLimits = {
  signInPatienceMs: 30_000,
  openingPatienceMs: 10_000,
  maxResponseBytes: 65_536,
  maxKeptBytes: 16_384,
  maxQuotedBytes: 480,
  maxProxies: 5,
}
