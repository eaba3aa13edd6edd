/** Every bound of this package that the configuration does not set. Defaults of configured bounds are in `config/`. */
export const limits = {
  /** Largest configuration or accounts file, bytes. A larger one is a mistake in the path. */
  maxConfigFileBytes: 4_194_304,

  /** Longest password, bytes of UTF-8. Room for passphrases and tokens; hashing time does not depend on it. Longer: denied. */
  maxPasswordBytes: 1024,

  /** Longest account name, bytes of UTF-8: a mailbox of RFC 5321 section 4.5.3.1 is at most 64 + 1 + 255. Longer: denied. */
  maxAccountNameBytes: 320,

  /** Shortest password that `postern user` takes, characters (NIST SP 800-63B section 3.1.1.2 for a single factor is 15; with a second bound by rate 8). */
  minPasswordCharacters: 8,

  /** Longest line that `postern probe` reads from a server, bytes: an IMAP greeting with capabilities has under 2 KiB. */
  maxProbeLineBytes: 65_536,

  /** Longest access token, characters: those of large providers have up to 4 KiB. Longer: refused, and nobody is asked. */
  maxTokenBytes: 8192,
  /** Questions about tokens under way at once in a worker. An answer takes some milliseconds. */
  tokenChecksAtOnce: 16,
  /** Questions about tokens that wait for their turn; over it, signing in is temporarily unavailable. */
  tokenChecksWaiting: 256,
  /** Tokens that are remembered, some 200 bytes each. Over it, the one that was asked about first is forgotten. */
  maxKnownTokens: 10_000,
  /** Largest answer about a token, bytes: claims of a user have under 4 KiB. */
  maxIntrospectionBytes: 65_536,

  // ── processes ─────────────────────────────────────────────────────────────

  /** Pending connections of one held socket. The kernel cuts it to `net.core.somaxconn`; Node's default of 511 loses SYNs under a burst of 2,000. */
  listenBacklog: 4096,
  /** How often a worker says that its event loop turns. */
  aliveEveryMs: 1000,
  /** Looks of the supervisor, a second apart, in a row in which a worker said nothing: it hangs, and is killed. Looks and not seconds, so that a supervisor that was itself stopped blames nobody. */
  missedLooks: 10,
  /** A worker that does not accept by then has failed to start. */
  workerStartMs: 30_000,
  /** Wait before a crashed worker's slot starts again: none, then this, doubled each time. */
  firstRestartDelayMs: 1000,
  /** The doubling stops here for a worker that cannot start: an operator who mends the cause waits no longer than a minute. */
  maxRestartDelayMs: 60_000,
  /** And here for one that died while it served: its share of the new clients waits in the socket meanwhile. */
  maxRestartDelayOfServingMs: 1_000,
  /** A worker that lived for this long was sound: its next crash is a first one. */
  soundWorkerMs: 60_000,
  /** Workers that died in a row before the gateway was ever ready: starting again would not help. */
  maxStartFailures: 3,
  /** Replaced workers of one slot whose sessions still run; at the next reload the oldest of them is asked to finish. */
  maxRetiringWorkersPerSlot: 3,
  /** A new supervisor that is not ready by then is given up, and the old one goes on: time for `workerStartMs` and its own start. */
  successorStartMs: 60_000,
  /** Two signals to stop so close are one wish: a terminal and npm both deliver Ctrl-C. */
  sameSignalMs: 500,
  /** Between asking sessions to finish and cutting them, at the end of a drain: room for one last reply. */
  farewellMs: 2000,
  /** How long TLS session tickets are issued with one key; a ticket lives a day at most (RFC 8446 section 4.6.1 allows seven). */
  ticketKeyMs: 43_200_000,
  /** Between two looks at the files of certificates. What changed is read when two looks found the same. */
  certificateLookMs: 10_000,
  /** How long a worker waits for the supervisor's count before it decides by its own. */
  tallyAnswerMs: 250,
  /** How long the supervisor waits for what the workers counted of a client; less than a worker waits for it. */
  tallyRecallMs: 100,
  /** How often the supervisor lets go of clients that it counts and that have nothing open. */
  tallyTidyMs: 10_000,
  /** News of closed connections is gathered for this long, or goes with the next question. */
  closeGatherMs: 10,
  /** Questions in a row that the server of a fleet's counts did not answer: then it counts as away. */
  maxUnansweredFleetQuestions: 3,
  /** How often a server that is away is tried, by one client that waits for it. */
  fleetPauseMs: 1000,
  /** How long the news of a closed connection may take from one worker to another before a client counts as too many. */
  closeNewsMs: 50,
  /** Clients whose rate is remembered; some 300 bytes each, so 20 MB at most. Over it, the one not seen for longest is forgotten. */
  maxTalliedClients: 65_536,

  /** Bans and failed sign-ins that are remembered, of clients and of users each; some 200 bytes each. Over it the oldest is forgotten. */
  maxBans: 65_536,
  /** Pairs of user and client that are remembered for having signed in; some 150 bytes each. Over it the one that signed in longest ago is forgotten. */
  maxKnownClients: 65_536,
  /** Of these, how many a worker is told when it starts: one message of under 1 MB. */
  maxKnownClientsTold: 10_000,

  /** How old a quota of the accounts file may be, milliseconds. Every message that comes or goes asks for it twice. */
  quotaFreshMs: 1000,

  /** Changed mailboxes are gathered for this long before other workers hear of them; RFC 2177 asks for no more than promptness. */
  mailboxHintMs: 50,

  // ── accepting ─────────────────────────────────────────────────────────────

  /** How often a worker looks at its memory, milliseconds: a look costs some 20 µs. */
  memoryLookMs: 1000,
  /** Looks over `limits.worker-memory` from one collection of garbage to the next: each may take a second of a large heap. */
  memoryLooksPerCollection: 10,

  /** PROXY headers awaited from one trusted peer at a time in one worker; a balancer sends them within a round trip. Over it, its next connection is closed. */
  maxHeadersInFlightPerPeer: 4096,
  /** Names a client may ask for by SNI, characters (RFC 1035 section 2.3.4). */
  maxServerNameChars: 255,

  // ── DNS ───────────────────────────────────────────────────────────────────

  /** Questions under way in one worker, a socket and under 2 KiB each. Over it: not known. */
  maxDnsQuestions: 1000,
  /** Questions in a row that no server answered: then they are left alone for `dnsPauseMs`, so that no client waits for each of its names anew. */
  maxUnansweredDnsQuestions: 5,
  /** How long silent servers are left alone. */
  dnsPauseMs: 30_000,
  /** PTR records of an address that are looked at; hosts of many names have a handful. Each costs a question. */
  maxPointersLookedAt: 4,
  /** Addresses whose names are kept, some 300 bytes each. Over it the one kept for longest is forgotten. */
  maxKeptClientNames: 10_000,
  /** Seconds that a confirmed name is kept at least, whatever its owner says. */
  minKeepNamesSeconds: 60,
  /** Seconds that a confirmed name is kept at most, whatever its owner says. */
  maxKeepNamesSeconds: 3600,
  /** Seconds that an address is known to have no confirmed name. */
  keepNoNamesSeconds: 300,
  /** Seconds before an address whose names could not be found out is asked for again. */
  keepUnknownNamesSeconds: 30,

  // ── DNS lists ─────────────────────────────────────────────────────────────

  /** How long a DNS list whose test entries were right is asked before they are looked at again. */
  dnsListSoundMs: 600_000,
  /** The same for a list that cannot be used: it comes back within a minute. */
  dnsListTroubleMs: 60_000,
  /** Addresses whose listing is kept for each list, some 200 bytes each. Over it the one kept for longest is forgotten. */
  maxKeptListings: 10_000,
  /** Seconds that a listing is kept at least, whatever its time to live. */
  minKeepListedSeconds: 60,
  /** Seconds that a listing is kept at most: whoever was taken off the list is served within so long. */
  maxKeepListedSeconds: 1800,
  /** Seconds that an address is known not to be listed. */
  keepNotListedSeconds: 300,
  /** Seconds before a list that did not answer for an address is asked for it again. */
  keepUnknownListingSeconds: 30,

  // ── messages as a whole ───────────────────────────────────────────────────

  /** A message that is looked at waits in memory up to so many bytes; a larger one in a file. */
  maxSpooledInMemoryBytes: 262_144,
  /** Of these, for all messages of a worker; over it they wait in files, however small. */
  maxSpoolMemoryBytes: 67_108_864,
  /** Read from a spooled file at a time. */
  spoolReadBytes: 65_536,
  /** Messages that one thread authenticates at a time: it waits for the DNS nearly always. */
  messagesPerThread: 16,
  /** Messages that wait for a thread; over it a message counts as one that cannot be verified now. */
  maxMessagesWaiting: 256,
  /** Signatures (DKIM), and seals (ARC), of one message that are looked at; of a message with more none is. */
  maxSignatures: 20,
  /** Questions to the DNS for one message: SPF has at most 10 lookups by itself (RFC 7208 section 4.6.4), DKIM one for each signature. */
  maxDnsQuestionsPerMessage: 100,
  /** Connections of a worker to the scanner; more messages wait within their time. */
  scannerConnections: 16,
  /** Longest answer of a scanner, characters. */
  maxScanAnswerChars: 1_048_576,
  /** Symbols of a scan that are told in the log. */
  maxSymbolsTold: 10,
  /** Fields that a scanner may add to a message. */
  maxAddedFields: 50,
  /** Longest value of such a field, characters. */
  maxAddedFieldChars: 8192,
  /** Header section that is gathered to be edited, bytes: no session lets a longer one through (`smtp.max-header-size`). */
  maxEditedHeaderBytes: 16_777_216,

  // ── backends ──────────────────────────────────────────────────────────────

  /** From one look at a backend that is down, or in doubt, to the next, when `health.interval` is longer: it comes back within seconds, and no storm of looks hinders it. */
  hurriedLookMs: 1000,
  /** How long the LOGOUT of a look may take to be read before its connection is cut. */
  lookFarewellMs: 1000,
  /** How long `postern check --upstreams` waits for a reply to a bare line feed: a server that takes it for the end replies at once. */
  newlineProbeMs: 2000,
  /** A backend that came back so lately is sound whatever this worker met before. */
  backendNewsMs: 1000,
  /** How long a worker leaves a backend alone that failed `health.fall` times in a row; each further failure doubles it. */
  firstAvoidanceMs: 500,
  /** The doubling stops here: a backend that recovered is found within five seconds. */
  maxAvoidanceMs: 4000,
  /** How long one connection may try a backend that was left alone, before another one may. */
  backendTrialMs: 5000,

  /** Connections that are silent are asked by the kernel whether they still stand, milliseconds; balancers forget those that are silent for some minutes. */
  keepAliveMs: 60_000,
  /** Longest PP2_TYPE_UNIQUE_ID, bytes (PROXY protocol specification, section 2.2.5). */
  maxUniqueIdBytes: 128,

  // ── directories ───────────────────────────────────────────────────────────

  /** Connections of one worker to one HTTP directory; more questions wait within their time. */
  lookupConnections: 32,
  /** Header section of an answer, bytes. */
  maxLookupHeaderBytes: 16_384,
  /** Body of an answer, bytes. */
  maxLookupBodyBytes: 65_536,
  /** Words of a refusal that are passed on, characters. */
  maxLookupTextChars: 400,
  /** How long a worker waits for a directory before it accepts connections all the same, milliseconds. */
  lookupStartMs: 2000,
  /** Failures of one directory are told once in this time, milliseconds; the others are counted. */
  lookupNewsMs: 1000,
  /** For how long a client may send a message again that some of its recipients have, milliseconds (RFC 5321 section 4.5.4.1: 4 to 5 days). */
  journalKeepMs: 432_000_000,
  /** From one sweep of the journal of deliveries to the next, milliseconds. */
  journalSweepMs: 3_600_000,
  /** Files of the journal of deliveries, one for each pair of sender and recipient; over it a message is deferred unremembered. */
  maxJournalFiles: 100_000,
  /** Of one of these files, bytes; over it the oldest are forgotten. A line has 66. */
  maxJournalFileBytes: 65_536,
  /** An answer this young is taken for right, whatever a backend says of the user, milliseconds. */
  freshAnswerMs: 1000,
  /** Longest Auth-Wait that is kept, milliseconds: a client holds its connection meanwhile. */
  maxLookupWaitMs: 10_000,

  // ── logs ──────────────────────────────────────────────────────────────────

  /** A value from the network in a log line. */
  maxLogValueChars: 256,
  /** A sentence that names a cause and its mend. */
  maxLogSentenceChars: 512,
  /** The stack of a bug. With the other values a line stays below `maxLogWriteBytes`. */
  maxLogStackChars: 1500,
  /** Log lines of one connection; what is beyond is counted and told at its end. */
  maxLogLinesPerConnection: 50,
  /** Largest write of log lines, bytes. A pipe takes up to PIPE_BUF (4096 on Linux) whole, so lines of several processes never mix. */
  maxLogWriteBytes: 4096,
  /** The same where a write of any length stays whole, as in a file. */
  maxLogWriteToFileBytes: 65_536,
  /** A gathered line waits no longer than this. */
  logFlushMs: 200,
  /** Log bytes that may wait for a slow reader; beyond it lines are dropped and counted, and mail goes on. */
  maxWaitingLogBytes: 4_194_304,
  /** Health checks, and peers that come and go without a word, are told in one line each such time. */
  quietSummaryMs: 60_000,

  // ── counting ──────────────────────────────────────────────────────────────

  /** Sets of label values of one metric. All are of closed lists or of the configuration; beyond it they are counted as `others`. */
  maxSeriesOfMetric: 2000,
  /** How often a worker tells the supervisor what it counted: what a crash loses of the counts. */
  countsEveryMs: 1000,
  /** Between two looks at whether an event loop is late; each costs some microseconds. */
  eventLoopLookMs: 20,
  /** Refusals that a worker tells of in one message, the newest of each reason; all are counted. */
  maxRefusalsGathered: 32,
  /** Refusals that the supervisor keeps for `/status`, the newest of each reason, some 500 bytes each. */
  maxRefusalsKept: 200,
  /** Untrusted senders and silent peers that are told apart, some 400 bytes each; a new one takes the place of the one not seen for longest. */
  maxPeersKept: 256,
  /** Open sessions that one answer shows; the number of all is always told. */
  maxSessionsShown: 1000,
  /** Clients with the most open connections that one answer shows. */
  maxTopClients: 20,
  /** Between two questions for open sessions: they cost a worker with twenty thousand at most a tenth of its time, whoever asks. */
  sessionsEveryMs: 100,
  /** How long the supervisor waits for the workers' lists of sessions. */
  sessionsAnswerMs: 1000,

  // ── certificates that are ordered (ACME) ──────────────────────────────────

  /** How long an order may take, milliseconds: some authorities look at a name from many places. */
  acmeOrderMs: 300_000,
  /** How long an authority may take for one answer. */
  acmeRequestMs: 30_000,
  /** Longest answer of an authority: a chain of certificates is some 6 KB. */
  maxAcmeAnswerBytes: 1_048_576,
  /** Before an order under way is looked at again; doubled each time. */
  firstAcmePollMs: 250,
  /** The doubling stops here. */
  maxAcmePollMs: 10_000,
  /** From a failed order to the next one; doubled each time. Authorities let a name fail some five times in an hour. */
  firstAcmeRetryMs: 300_000,
  /** The doubling stops here: twice a day for whoever mends it tomorrow. */
  maxAcmeRetryMs: 43_200_000,
  /** Longest wait that an authority may ask for (`Retry-After`): its quotas are of a week at most. */
  maxAcmeRetryAfterMs: 604_800_000,
  /** From an order to the next one at least, however often somebody reloads. */
  minAcmeRetryMs: 60_000,
  /** From a certificate that came to the next order at least, or a third of its life when that is shorter: a clock may be wrong by months. */
  minAcmeRenewalMs: 86_400_000,
  /** Whether a certificate is due is looked at so often: clocks are set, and files replaced. */
  acmeLookMs: 3_600_000,

  // ── postern doctor ────────────────────────────────────────────────────────

  /** Days before the end of a certificate from which it is told: a renewal that runs weekly was missed once by then. */
  certificateWarningDays: 14,
  /** An event loop that is late by so much, milliseconds, is told: clients wait as long for each reply. */
  lateEventLoopMs: 250,
  /** Room for fewer messages of the largest size is told: less may be gone in a night. */
  lowSpaceMessages: 40,

  // ── admin endpoint ────────────────────────────────────────────────────────

  /** A request must be whole by then. */
  adminRequestMs: 5000,
  /** Connections of the admin endpoint at a time. */
  maxAdminConnections: 64,
  /** Listeners to the events of the admin endpoint at a time; each costs some kilobytes a second. */
  maxEventStreams: 16,
  /** Bytes of events that a listener may be behind before it is cut off. */
  maxEventBytesWaiting: 1_048_576,
  /** Shortest token of `admin.token-file`, characters: 96 bits in base64. */
  minAdminTokenChars: 16,
} as const
