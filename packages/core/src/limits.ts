/** Every bound of this package. */
export const limits = {
  /** A whole PROXY header, in bytes, unless the caller says otherwise. Balancers stay under 600; a client certificate (TLV 0x28) needs 2 to 3 KiB. */
  maxHeaderBytes: 4096,
  /** The largest header the protocol can express: 16 bytes and a length of 16 bits (section 2.2). */
  largestHeaderBytes: 65_551,
  /** A text header with its CRLF (section 2.1: the longest UNKNOWN line). */
  maxV1HeaderBytes: 107,
  /** A header that is sent, in bytes, unless the caller says otherwise: fits the smallest segment every host takes (section 2: 576 - 40). */
  maxSentHeaderBytes: 536,
  /** UNIQUE_ID (section 2.2.5). */
  maxUniqueIdBytes: 128,
  /** AUTHORITY: the longest host name (RFC 1035 section 2.3.4). A longer value is no name. */
  maxAuthorityBytes: 255,
  /** How many of the first bytes that were no header are told to the operator, escaped. */
  maxReportedBytes: 64,
  /** How long a trusted peer may take for its whole header, from accept. */
  headerTimeoutMs: 30_000,
  /** The least that may be configured: one lost segment is sent again after up to three seconds (section 2). */
  minHeaderTimeoutMs: 3_000,
  /** With an optional header: how long the peer may stay silent before it is taken for one that sends none. */
  headerGraceMs: 500,
  /** Connections of one server whose header is awaited at one time. Each costs a socket and under 1 KiB until its bytes come. */
  maxPendingHeaders: 10_000,
  /** One decoded message of a SASL exchange. Tokens of large providers have up to 4 KiB; the lines of SMTP carry 9 (RFC 4954 section 4.3). */
  maxSaslMessageBytes: 12_288,
  /** A SCRAM message: names, nonces and proofs take some 300 bytes, and a name may be escaped. */
  maxScramMessageBytes: 4096,
  /** RFC 7677 section 4 asks for 4096 iterations at least; keys with fewer are not read, and a server that asks for fewer is not answered. */
  minScramIterations: 4096,
  /** Each sign-in costs the client so many: a server that asks for more wants to keep it busy. OWASP asks for 600,000 where nothing but them protects a password. */
  maxScramIterations: 1_000_000,
  /** Of keys that are made here: some 15 ms of the client's time at each sign-in, and as much for each guess at a stolen file. */
  scramIterations: 65_536,
  /** Replies that may wait for a slow reader before a session must pause, beside what the socket itself holds. */
  maxPendingOutputBytes: 65_536,
  /** How much of a turn of the event loop sessions may use before others are looked at, and as much again those that waited: a new client is greeted within few turns. */
  turnShareMs: 5,
  /** A client that reads nothing for this long while replies wait is cut off; less than 64 KiB a minute is no reader. */
  stalledReaderMs: 60_000,
  /** Between two spliced connections: after one side closed its half, how long the other may be silent before both are closed. */
  halfClosedMs: 60_000,
  /** After the last reply: how long the client may take to close its half, so that our close does not reset the reply away. */
  lingerMs: 2_000,
  /** What a client may still send after the last reply, bytes: as much as is under way in a connection's buffers. Over it, it is cut off. */
  maxLingerBytes: 1_048_576,
  /** Connections of one session server at once, unless its options say otherwise. Each costs some KiB. Over it they are refused. */
  maxConnections: 10_000,
  /** Connections that the kernel keeps waiting to be accepted; it has a bound of its own. */
  listenBacklog: 1_024,
  /** A TLS handshake of a session server: a client that stalls in it holds 50 KB. */
  handshakeTimeoutMs: 10_000,
  /** How long sessions have to finish when their server is closed. */
  closePatienceMs: 30_000,
} as const
