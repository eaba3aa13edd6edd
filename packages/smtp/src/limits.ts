/** Every bound of this package. Sessions take them from `SmtpSessionOptions.limits`, so that an operator can move one. */
export interface SmtpLimits {
  /** Octets of one command line, CRLF included. RFC 5321 §4.5.3.1.4 asks for 512; extensions lengthen it. Over it: 500. */
  readonly maxCommandLineBytes: number
  /** Octets of an AUTH line or of an answer to its challenge (RFC 4954 §4.3). Over it: 500 5.5.6. */
  readonly maxAuthLineBytes: number
  /** Octets thrown away to find the end of a line that is too long. Over it: 421, since the client will not end it. */
  readonly maxSkippedBytes: number
  /** Lines too long on one connection. After them: 421. */
  readonly maxOverlongLines: number
  /** Octets of a local part (RFC 5321 §4.5.3.1.1). */
  readonly maxLocalPartBytes: number
  /** Octets of a domain (RFC 5321 §4.5.3.1.2). */
  readonly maxDomainBytes: number
  /** Octets of a path without its angle brackets (RFC 5321 §4.5.3.1.3). */
  readonly maxPathBytes: number
  /** Recipients of one transaction; at least 100 (RFC 5321 §4.5.3.1.8). Over it: 452 4.5.3. */
  readonly maxRecipients: number
  /** RCPT commands answered 452 in one transaction, for the limit or for another route, before each more is an error. */
  readonly maxDeferredRecipients: number
  /** Places to which the recipients of one transaction may go, where each has a verdict of its own (LMTP, PRDR). Over it: 452 4.5.3. */
  readonly maxPlaces: number
  /** Octets of one message, un-stuffed, without our Received: the SIZE keyword (RFC 1870). Over it: 552 5.3.4. */
  readonly maxMessageBytes: number
  /** Octets of the header section. Mail programs write a few KiB. Over it: 554 5.6.0. */
  readonly maxHeaderSectionBytes: number
  /** Received fields of a message that arrives (RFC 5321 §6.3 asks for at least 100 or another way to find loops). Over it: 554 5.4.6. */
  readonly maxHops: number
  /** Commands answered 4yz or 5yz since the last accepted message. After them: 421. As Postfix counts. */
  readonly maxErrors: number
  /** Errors since the last accepted message that cost no time; each more is answered after a delay that grows with them. */
  readonly maxPromptErrors: number
  /** Milliseconds by which the delay grows with each such error, and with each failed sign-in; 0 for none. As Postfix's smtpd_error_sleep_time. */
  readonly errorDelayMs: number
  /** Milliseconds that the delay is at most: clients and balancers wait longer than that. */
  readonly maxErrorDelayMs: number
  /** NOOP, RSET, VRFY, EXPN, HELP, repeated EHLO since the last accepted message. After them: 421. As Postfix counts. */
  readonly maxIdleCommands: number
  /** Failed sign-ins on one connection. After them: 421. */
  readonly maxFailedAuthentications: number
  /** Milliseconds from the greeting to the first EHLO or HELO. */
  readonly firstCommandPatienceMs: number
  /** Milliseconds for each command (RFC 5321 §4.5.3.2.7: at least 5 minutes). Bytes of an unfinished line do not extend it. */
  readonly commandPatienceMs: number
  /** Milliseconds for each block of a message (RFC 5321 §4.5.3.2.5). */
  readonly dataBlockPatienceMs: number
  /** Octets of a message in each second, on average over such a time. Fewer: 421, since a slot could be held for ever. As Postfix's smtpd_min_data_rate. */
  readonly minDataBytesPerSecond: number
}

/** The bounds of a session that was given no others. */
export const limits: SmtpLimits = {
  maxCommandLineBytes: 4_096,
  maxAuthLineBytes: 12_288,
  maxSkippedBytes: 65_536,
  maxOverlongLines: 3,
  maxLocalPartBytes: 64,
  maxDomainBytes: 255,
  maxPathBytes: 256,
  maxRecipients: 1_000,
  maxDeferredRecipients: 1_000,
  maxPlaces: 16,
  maxMessageBytes: 26_214_400,
  maxHeaderSectionBytes: 262_144,
  maxHops: 50,
  maxErrors: 20,
  maxPromptErrors: 5,
  errorDelayMs: 1_000,
  maxErrorDelayMs: 10_000,
  maxIdleCommands: 100,
  maxFailedAuthentications: 3,
  firstCommandPatienceMs: 60_000,
  commandPatienceMs: 300_000,
  dataBlockPatienceMs: 180_000,
  minDataBytesPerSecond: 500,
}

/** Every bound of `createSmtpServer` beside those of its sessions and of its connections, which are core's. */
export interface SmtpServerLimits {
  /** Octets of a message that wait for the backend to read them; then nothing more is read from its client. */
  readonly maxUnreadMessageBytes: number
  /** Milliseconds that a backend has to give up a message which its client did not finish; then nobody waits for it. */
  readonly abandonPatienceMs: number
}

/** The bounds of a server that was given no others. */
export const serverLimits: SmtpServerLimits = {
  maxUnreadMessageBytes: 65_536,
  abandonPatienceMs: 5_000,
}

/** Every bound of the client. A relay takes them from `RelayOptions.limits`. */
export interface SmtpClientLimits {
  /** Octets of one reply line. RFC 5321 §4.5.3.1.5 asks for 512; some servers write more. Over it: the backend is left. */
  readonly maxReplyLineBytes: number
  /** Octets of one reply, all its lines together. Over it: the backend is left. */
  readonly maxReplyBytes: number
  /** Lines of one reply. An EHLO reply has about twenty. Over it: the backend is left. */
  readonly maxReplyLines: number
  /** Octets of a line that is passed on to the client, whose reader may take 512 with code and CRLF (RFC 5321 §4.5.3.1.5). */
  readonly maxPassedLineBytes: number
  /** Octets of an XCLIENT or XFORWARD command, CRLF included (RFC 5321 §4.5.3.1.4). What does not fit goes into another. */
  readonly maxAttributeCommandBytes: number
  /** Milliseconds from the first backend tried to the reply to EHLO of the last: a client does not wait longer for a connection. */
  readonly openingPatienceMs: number
  /** Milliseconds for a TCP connection. */
  readonly connectPatienceMs: number
  /** Milliseconds for a TLS handshake. */
  readonly tlsPatienceMs: number
  /** Milliseconds for the greeting (RFC 5321 §4.5.3.2.1 asks for 5 minutes, of a stranger). */
  readonly greetingPatienceMs: number
  /**
   * Milliseconds for the replies to the first commands on a connection that was kept: its backend may be gone without a sign,
   * and then there must be time for another.
   */
  readonly resumedPatienceMs: number
  /** Milliseconds for the reply to a command (RFC 5321 §4.5.3.2.2 to §4.5.3.2.4 ask for 2 and 5 minutes, of a stranger). */
  readonly replyPatienceMs: number
  /** Milliseconds for a block of a message to be taken (RFC 5321 §4.5.3.2.5). */
  readonly blockPatienceMs: number
  /** Milliseconds for the reply to the end of the data: less than the 10 minutes for which our own client waits (RFC 5321 §4.5.3.2.6). */
  readonly finalPatienceMs: number
  /** Milliseconds for the reply to QUIT and the close behind it, and for that to RSET. Nobody waits for them. */
  readonly quitPatienceMs: number
  /** Connections to one backend that are kept for the next message; over it, one more is closed. */
  readonly maxIdleConnections: number
  /** Connections kept to all backends together; over it, the one idle for longest is closed. */
  readonly maxIdleOfAll: number
  /** Milliseconds for which a connection is kept: less than servers, and what stands between, bear with. */
  readonly idlePatienceMs: number
  /** Transactions of one connection: servers count them, and balancers before backends share out connections. */
  readonly maxTransactions: number
  /** Refusals in a row on one connection that is kept: servers slow down who only errs, Postfix behind ten. */
  readonly maxRefusals: number
  /** Milliseconds from the opening of a connection to its last use: names move, and so do weights. */
  readonly maxConnectionAgeMs: number
}

/** For backends on the network next door. */
export const clientLimits: SmtpClientLimits = {
  maxReplyLineBytes: 4_096,
  maxReplyBytes: 65_536,
  maxReplyLines: 100,
  maxPassedLineBytes: 480,
  maxAttributeCommandBytes: 512,
  openingPatienceMs: 30_000,
  connectPatienceMs: 5_000,
  tlsPatienceMs: 10_000,
  greetingPatienceMs: 10_000,
  resumedPatienceMs: 10_000,
  replyPatienceMs: 60_000,
  blockPatienceMs: 60_000,
  finalPatienceMs: 300_000,
  quitPatienceMs: 2_000,
  maxIdleConnections: 8,
  maxIdleOfAll: 64,
  idlePatienceMs: 5_000,
  maxTransactions: 100,
  maxRefusals: 5,
  maxConnectionAgeMs: 300_000,
}

/** The least times of RFC 5321 §4.5.3.2, for a backend that is far away or somebody else's. */
export const patienceOfRfc5321: Partial<SmtpClientLimits> = {
  openingPatienceMs: 600_000,
  connectPatienceMs: 30_000,
  greetingPatienceMs: 300_000,
  replyPatienceMs: 300_000,
  blockPatienceMs: 180_000,
  finalPatienceMs: 600_000,
}
