/*
 * Every attack and fault that the gateway must survive, one row each. A test of a row carries its id in its name, so
 * `npm run faults -- PX-01` runs what is behind it. docs/reliability.md is made from this table and from the last
 * recorded run; test/reliability.test.ts compares them, and the table with the tests.
 *
 * severity   A  loss of accepted mail, a forged identity, a relay for strangers, another user's mail
 *            B  an outage from outside, a credential that leaks
 *            C  poorer service, or a gap in a policy
 *            D  hygiene
 * tier       in which run the whole of it is shown: `change` in every `npm test`; `nightly` and `release` are the same
 *            tests with more rounds
 * state      kept       the tests show all that the row says
 *            partly     they show a part, and the reason says what is missing
 *            open       nothing shows it
 *            elsewhere  it needs a machine that a test run has not; the reason says which
 *            void       the gateway has nothing that it could be about
 */
export type Severity = 'A' | 'B' | 'C' | 'D'
export type Tier = 'change' | 'nightly' | 'release'
export type State = 'kept' | 'partly' | 'open' | 'elsewhere' | 'void'

export interface Row {
  readonly id: string
  readonly severity: Severity
  readonly tier: Tier
  readonly state: State
  /** What is done, and what must come of it. */
  readonly what: string
  /** Why the state is what it is; empty with `kept`. */
  readonly reason: string
}

export interface Part {
  readonly heading: string
  readonly rows: readonly Row[]
}

const severities: ReadonlySet<string> = new Set(['A', 'B', 'C', 'D'])
const tiers: ReadonlySet<string> = new Set(['change', 'nightly', 'release'])
const states: ReadonlySet<string> = new Set(['kept', 'partly', 'open', 'elsewhere', 'void'])

/** One row a line: id, severity, tier, state, what it says, and the reason of a state that is not `kept`. */
function part(heading: string, text: string): Part {
  const rows = text
    .trim()
    .split('\n')
    .map((line): Row => {
      const [id = '', severity = '', tier = '', state = '', what = '', reason = ''] = line
        .split('|')
        .map((cell) => cell.trim())
      const isRow = /^[A-Z]{2}-\d\d$/.test(id) && severities.has(severity) && tiers.has(tier) && states.has(state)
      if (!isRow || what === '' || (state === 'kept') !== (reason === '')) throw new Error(`not a row: ${line}`)
      return { id, severity: severity as Severity, tier: tier as Tier, state: state as State, what, reason }
    })
  return { heading, rows }
}

export const matrix: readonly Part[] = [
  part(
    'PROXY headers, received',
    `
PX-01 | A | change  | kept   | a header from a peer outside the trusted networks: refused, and its address is used for nothing
PX-02 | A | change  | kept   | a trusted peer begins with something else: closed without a greeting
PX-03 | B | change  | kept   | a trusted peer that says nothing is closed at the header timeout
PX-04 | B | change  | kept   | bytes that trickle in do not move that moment
PX-05 | C | change  | kept   | nothing is written before the header is whole
PX-06 | C | change  | kept   | a header cut at any byte, or sent byte by byte, is the same header
PX-07 | C | change  | kept   | header and first command in one segment: a greeting, and one reply
PX-08 | C | change  | kept   | header and ClientHello in one segment: the handshake completes
PX-09 | A | change  | kept   | a second header behind the first, in each mix of versions: no second greeting, no second address
PX-10 | A | change  | kept   | a header later in a session, in any state: an unknown command
PX-11 | B | change  | kept   | headers that claim 65,535 bytes and send no more: no memory is taken for what is claimed
PX-12 | C | change  | kept   | a header over the bound is refused by its length field
PX-13 | A | change  | kept   | a length smaller than the family needs is refused, whatever follows
PX-14 | A | change  | kept   | of all versions and commands only two are headers
PX-15 | C | change  | kept   | undefined families and transports are refused, and ignored with LOCAL
PX-16 | A | change  | kept   | a TLV that runs past the header, or a stray byte: refused, and no byte of the application is eaten
PX-17 | C | change  | kept   | an SSL TLV that is short, overrun, or nested sixty deep
PX-18 | A | change  | kept   | a checksum that does not hold, or has another size; each flip of a bit
PX-19 | C | change  | kept   | hostile text in AUTHORITY and UNIQUE_ID is dropped, and escaped in the log
PX-20 | C | change  | kept   | a thousand empty TLVs
PX-21 | A | change  | kept   | 52 and more lines that are nearly a text header: none is one
PX-22 | B | change  | kept   | a text header without an end is refused at 107 bytes
PX-23 | A | change  | kept   | a text header that ends in LF, CR, CR CR LF, or has them inside
PX-24 | A | change  | kept   | UNKNOWN: what it says behind it is never an address
PX-25 | A | change  | kept   | LOCAL: its block is never an address
PX-26 | C | nightly | kept   | thousands of health checks that close at once: a line a minute, no descriptor left
PX-27 | C | change  | kept   | UNIX, UNSPEC and datagram families speak for the peer itself
PX-28 | A | change  | kept   | only ::ffff:0:0/96 is IPv4; other spellings stay strangers
PX-29 | A | change  | kept   | trust decides the same over IPv4, mapped and IPv6 sockets
PX-30 | B | change  | kept   | a trusted network that is no network, or is everybody, is told at the start
PX-31 | B | change  | kept   | FIN, RST and half-close behind every byte of a header: the connection is gone, and its descriptor
PX-32 | A | change  | kept   | a peer that is gone before it is looked at is nobody
PX-33 | C | change  | partly | addresses of no single host in a header | limits by such an address are one count for all who claim it
PX-34 | A | change  | kept   | a certificate name that nobody verified is no name
PX-35 | C | change  | kept   | TLS that the balancer ended counts as TLS where the listener says so, and is logged as such
PX-36 | B | nightly | kept   | random and mutated headers: nothing throws, nothing is read behind the header
PX-37 | B | nightly | kept   | hundreds of half headers while an ordinary client comes
`,
  ),
  part(
    'The client, announced to backends',
    `
PO-01 | C | change  | kept   | both addresses of an announced header are of one family
PO-02 | C | change  | kept   | a peer that speaks for itself is announced as LOCAL
PO-03 | A | change  | kept   | TLVs that do not fit are left out whole, and the length field is what was written
PO-04 | C | change  | kept   | the header comes first, once, before TLS, on every attempt
PO-05 | A | nightly | kept   | a connection that announced one client is never used for another
PO-06 | A | change  | kept   | hostile names and logins in XCLIENT are one command
PO-07 | C | change  | kept   | a backend that offers XCLIENT for ever, or refuses it
PO-08 | B | change  | kept   | the address fields of a client's own IMAP ID are not passed on
PO-09 | A | change  | kept   | whatever a client says before it is signed in, its IMAP backend hears one command; behind that it speaks with its own connection alone
PO-10 | A | change  | kept   | XCLIENT and XFORWARD of a client that is not listed: neither offered nor obeyed
PO-11 | C | change  | kept   | an XCLIENT line is obeyed whole or not at all
`,
  ),
  part(
    'Trust and the right to relay',
    `
TR-01 | A | change  | kept   | a claimed private, loopback or unspecified address relays nothing
TR-02 | A | change  | kept   | a balancer that speaks for itself relays nothing and signs in nowhere
TR-03 | A | change  | kept   | the classical spellings of a foreign recipient are refused
TR-04 | A | change  | kept   | local-looking recipients that route elsewhere are refused
TR-05 | A | change  | kept   | no reverse-path gives the right to relay
TR-06 | A | change  | kept   | no name in EHLO gives the right to relay
TR-07 | C | nightly | partly | the null reverse-path with many recipients | no limit of its own: recipients-per-client and max-recipients count them as they count all others; the gateway itself writes no bounces
TR-08 | C | change  | kept   | a user who sends in another's name is refused
TR-09 | A | change  | kept   | IMAP: LOGIN stays disabled in the clear for every claimed address
TR-10 | C | change  | kept   | a claimed address inside the trusted networks may send no header of its own
TR-11 | C | nightly | kept   | mail that comes back to us ends: after 50 hops or at the connections of one client; a way back through our own listeners is refused at the start
`,
  ),
  part(
    'Logs and secrets',
    `
LG-01 | B | change  | kept   | hostile bytes in every value: each line is one JSON object, escaped and cut
LG-02 | B | change  | kept   | a password is in no line, at any level, by any mechanism
LG-03 | C | change  | kept   | a password that was sent as a command is not in the log
LG-04 | C | change  | kept   | a thousand errors on one connection are fifty lines and a count
LG-05 | C | nightly | partly | who reads the log stops: mail goes on, and lost lines are counted | a full disk under the log is the log reader's
LG-06 | C | change  | kept   | subject and body are never in the log
`,
  ),
  part(
    'Messages that want to be two',
    `
SM-01 | A | change  | kept   | every false end of data
SM-02 | A | change  | kept   | the same byte by byte
SM-03 | A | change  | kept   | nothing bare leaves towards a backend
SM-04 | A | change  | kept   | no exemption for users or listed networks
SM-05 | A | change  | kept   | the fields that we add end no header and no data
SM-06 | C | change  | kept   | the true end, however it is split; 200,000 stuffed dots
SM-07 | A | change  | kept   | BDAT: chunks are counted octets, whatever they say
SM-08 | C | change  | kept   | thousands of chunks of one byte
SM-09 | C | change  | kept   | CR ends no command, LF only where it is allowed
SM-10 | A | change  | kept   | each refusal, followed by each command: no state survives
`,
  ),
  part(
    'TLS',
    `
TL-01 | A | change  | kept   | commands in the clear behind STARTTLS are never answered inside TLS
TL-02 | A | change  | kept   | half a line in the clear is thrown away
TL-03 | A | change  | kept   | bytes of a backend in the clear behind its go-ahead end the connection
TL-04 | A | change  | kept   | a backend that loses STARTTLS gets no credentials
TL-05 | C | change  | kept   | what was said before STARTTLS is forgotten
TL-06 | C | change  | kept   | STARTTLS twice, with an argument, or after a login
TL-07 | C | change  | kept   | TLS 1.0 and 1.1 are refused
TL-08 | C | nightly | kept   | renegotiation again and again: no worker dies of it, nobody else waits
TL-09 | B | nightly | kept   | every phase has a deadline of its own, and nobody who stalls lives longer
TL-10 | B | change  | kept   | stalled ClientHellos that claim much: no memory is taken for what is claimed
TL-11 | B | nightly | kept   | ten thousand server names, hostile ones among them: no growth
TL-12 | C | change  | kept   | garbage, resets and missing close_notify end one connection
TL-13 | B | nightly | kept   | certificates replaced under handshakes: none fails; a bad one changes nothing
TL-14 | C | change  | kept   | a ticket of one listener is worth nothing at another
TL-15 | C | change  | kept   | a client that wants another protocol by ALPN is refused
TL-16 | C | change  | kept   | no sign-in before TLS where TLS is required
`,
  ),
  part(
    'SMTP commands and resources',
    `
SC-01 | C | change  | kept   | a command line of 70,000 bytes is one error
SC-02 | B | change  | kept   | a line without end is cut off, with flat memory
SC-03 | C | change  | kept   | errors, and commands that move no mail, are counted
SC-04 | B | change  | kept   | HTTP, a ClientHello and SSH on an SMTP port: nothing of them is run
SC-05 | C | change  | kept   | control bytes in commands are refused, and not echoed
SC-06 | C | change  | kept   | parameters that are none
SC-07 | C | change  | kept   | hostile delivery status parameters
SC-08 | B | change  | kept   | recipients over the limit are put off
SC-09 | C | change  | kept   | odd local parts touch no other file
SC-10 | B | change  | kept   | addresses in UTF-8 without SMTPUTF8
SC-11 | C | change  | kept   | VRFY and EXPN tell nobody who is there
SC-12 | C | change  | kept   | a message that has been everywhere is refused
SC-13 | C | change  | kept   | a message over the size is refused, and not stored
SC-14 | C | change  | kept   | talking before the greeting, and pipelining
SC-15 | C | change  | kept   | one byte a second, in every state
SC-16 | B | nightly | kept   | clients that never read: what waits for them is bounded
SC-17 | C | change  | kept   | a reset in each state gives everything back
SC-18 | C | change  | kept   | hundreds of idle connections and a storm of short ones
`,
  ),
  part(
    'Messages that are bombs',
    `
MS-01 | B | change  | kept   | 100,000 header fields
MS-02 | B | change  | kept   | 100,000 recipients in To
MS-03 | B | change  | kept   | one header field of 2 MiB
MS-04 | B | change  | kept   | 100,000 folds
MS-05 | B | change  | kept   | multiparts 3,000 deep
MS-06 | B | change  | kept   | 20,000 parts
MS-07 | B | change  | kept   | messages in messages, 2,000 deep
MS-08 | B | change  | kept   | 20,000 parameters in pieces (RFC 2231)
MS-09 | B | change  | kept   | 50,000 nested comments
MS-10 | B | change  | kept   | 50,000 broken quotes and groups
MS-11 | B | change  | kept   | 20,000 encoded words
MS-12 | B | change  | kept   | 200,000 blanks
MS-13 | B | change  | kept   | a boundary of 70,000 hyphens
MS-14 | B | change  | kept   | header fields named as properties of objects
MS-15 | B | change  | kept   | all byte values
MS-16 | B | change  | kept   | a line of 4 MiB
MS-17 | B | change  | kept   | 200,000 dots
MS-18 | B | change  | kept   | 500,000 empty lines
MS-19 | B | change  | kept   | 50,000 references
MS-20 | B | nightly | kept   | fifty of them at once, and ordinary mail meanwhile
MS-21 | B | change  | kept   | a deflate bomb is read in pieces
`,
  ),
  part(
    'Signing in',
    `
AU-01 | B | change  | kept   | wrong passwords on one connection cost time, and end it
AU-02 | B | nightly | kept   | wrong passwords over many connections, workers and protocols
AU-03 | C | nightly | kept   | an account that strangers try to lock stays open to its owner
AU-04 | B | nightly | kept   | known and unknown names: the same words, and the same time
AU-05 | C | change  | kept   | broken exchanges of every mechanism
AU-06 | A | change  | kept   | nobody acts as another
AU-07 | B | change  | kept   | one client's many broken logins do not hold up another's
AU-08 | C | change  | kept   | hostile user names are compared byte by byte
AU-09 | B | nightly | kept   | hundreds of logins at once: bounded, and the event loop turns
AU-10 | C | change  | kept   | AUTH twice, or in a transaction
AU-11 | C | change  | kept   | a password is taken octet by octet, whole
AU-12 | A | change  | kept   | logins that come together get their own accounts
`,
  ),
  part(
    'IMAP',
    `
IM-01 | B | change  | kept   | literals before login of any announced size are not invited
IM-02 | B | change  | kept   | literals that do not wait for an invitation are cut off, with flat memory
IM-03 | B | change  | kept   | APPEND of more than the limit is not invited
IM-04 | C | change  | kept   | LITERAL- bounds what does not wait
IM-05 | C | change  | kept   | an APPEND that breaks off adds nothing
IM-06 | B | change  | kept   | parentheses without end before login, on many connections
IM-07 | B | change  | kept   | lines without end, and tags that are none
IM-08 | B | change  | kept   | searches nested 20,000 deep
IM-09 | B | change  | kept   | sets that name four thousand million messages
IM-10 | C | change  | kept   | sets that are none
IM-11 | C | change  | kept   | ten thousand keywords
IM-12 | B | change  | kept   | LIST with a thousand wildcards
IM-13 | C | change  | kept   | hundreds of pipelined commands, in order, and none behind LOGOUT
IM-14 | C | change  | kept   | hostile names and headers: every response parses
IM-15 | C | change  | kept   | odd sections and partials
IM-16 | C | change  | kept   | SORT and THREAD over thousands of references
IM-17 | C | change  | kept   | an ID of two hundred pairs
IM-18 | C | release | kept   | IDLE and what is not DONE; ten thousand sessions that idle on one mailbox hear of it within two seconds
IM-19 | C | change  | kept   | bad commands in a row end the session
IM-20 | B | change  | kept   | a client that never reads holds its own commands back
IM-21 | C | change  | kept   | sessions of a user are bounded, and those that vanish are counted off
IM-22 | A | change  | kept   | expunge under another session: a UID never has another message
IM-23 | A | change  | kept   | no name leads to another user's mail
`,
  ),
  part(
    'Names and files of the store',
    `
MB-01 | A | change  | kept   | hostile mailbox names with every command stay in the account
MB-02 | A | change  | kept   | hostile recipients and details deliver nowhere else
MB-03 | C | change  | kept   | names of 4,000 bytes, 300 levels
MB-04 | A | change  | kept   | names that look alike are two, or refused
MB-05 | C | change  | kept   | modified UTF-7 that decodes to a separator or to nothing
MB-06 | A | nightly | kept   | symbolic links in place of folders and messages are not followed
MB-07 | C | change  | kept   | FIFOs, sockets, devices and huge files are skipped
MB-08 | C | change  | kept   | file names that lie
MB-09 | C | change  | kept   | a file that is gone while it is sent
MB-10 | C | nightly | kept   | 200,000 files in one folder, 100,000 folders: others wait for less than a second
`,
  ),
  part(
    'Durability',
    `
ST-01 | A | release | kept   | kill -9 at any moment of a delivery, an APPEND and a STORE, and at each of its system calls
ST-02 | A | change  | kept   | a full disk or quota: refused for now, and mail flows again when there is room
ST-03 | A | change  | kept   | a sync that fails is never taken for one that did not
ST-04 | C | change  | kept   | a read-only disk, missing rights, no descriptors
ST-05 | A | nightly | kept   | several processes give UIDs at once, and holders of the lock are killed
ST-06 | C | change  | kept   | the lock of a dead process delays nobody for long
ST-07 | A | nightly | kept   | a UID list that is cut or damaged anywhere gives no UID to another message
ST-08 | C | change  | kept   | a clock that jumps gives no name and no UIDVALIDITY twice
ST-09 | C | change  | kept   | a client that goes between the final dot and the reply: the message is kept
ST-10 | A | nightly | kept   | kill -9 in MOVE, COPY and RENAME: no message is in neither place
ST-11 | A | nightly | kept   | what was not synced is gone: as kill -9
ST-12 | C | change  | kept   | delivery while the mailbox goes; two deliveries at the quota
ST-13 | C | change  | kept   | left-over files of tmp are cleaned up
ST-14 | C | change  | kept   | another program works in the same Maildir
`,
  ),
  part(
    'Backends',
    `
BK-01 | C | change  | kept   | a backend that is not there is passed over within its time
BK-02 | C | change  | kept   | a backend that never greets, greets wrongly, or closes
BK-03 | B | change  | kept   | replies without end, and replies that are none
BK-04 | A | change  | kept   | the reply to the end of a message is lost: in doubt, and sent again
BK-05 | A | change  | kept   | a reply that comes before the end of the message is no acceptance
BK-06 | A | change  | kept   | each mix of verdicts for recipients reaches the client
BK-07 | C | change  | kept   | a backend that lies: its words are in the log
BK-08 | B | nightly | kept   | a slow backend slows its client, and costs no memory
BK-09 | B | change  | kept   | hostile responses of an IMAP backend: an end, flat memory, and nobody else waits
BK-10 | C | change  | kept   | certificates of backends that do not hold
BK-11 | C | nightly | kept   | a backend that flaps is left alone, and found again
BK-12 | C | nightly | kept   | a cable that is cut behind an open connection: each ends in time, and mail flows when it is whole again
BK-13 | C | change  | kept   | a backend that can do less than was promised
BK-14 | C | change  | kept   | a proxied IDLE whose backend goes
`,
  ),
  part(
    'DNS and directories',
    `
DN-01 | C | change  | kept   | resolvers that are silent, wrong, or say too much
DN-02 | C | change  | kept   | a list that answers with an error code refuses nobody
DN-03 | C | change  | kept   | a list that lists everybody is left alone
DN-04 | C | change  | partly | lists that contradict each other | the strictest block list decides; there is no score
DN-05 | C | change  | kept   | IPv6, mapped and private addresses are asked for rightly, or not at all
DN-06 | C | change  | kept   | hostile names of clients
DN-07 | C | nightly | kept   | slow lookups do not hold up files: the resolver has sockets of its own
DN-08 | C | change  | kept   | answers to nothing, and to something else
RD-01 | B | nightly | kept   | a directory, or the server of a fleet's counts, that is down, hangs, or is killed again and again: nobody is refused for it, nothing hangs
RD-02 | C | change  | kept   | Redis answers with an error
RD-03 | C | nightly | kept   | Redis is flushed: nobody is refused for it, and each machine has still counted by itself
RD-04 | C | nightly | kept   | a million names in the shared store: each count ends by itself
RD-05 | C | change  | kept   | hostile names in a key of Redis
RD-06 | C | nightly | kept   | Redis comes back: no storm of connections
`,
  ),
  part(
    'Workers and processes',
    `
PR-01 | B | nightly | kept   | a worker is killed: the sessions of others go on, and its place is taken
PR-02 | C | change  | kept   | a worker that dies again and again is started with growing delays
PR-03 | B | nightly | kept   | a worker that hangs is found and replaced
PR-04 | C | nightly | kept   | a worker that runs out of heap dies alone
PR-05 | B | nightly | void   | a thread that throws, hangs, or runs out of heap | there are no threads: nothing is parsed off the event loop
PR-06 | C | nightly | void   | a full queue of a thread pool | there are no threads
PR-07 | B | change  | void   | deep objects between threads | there are no threads; messages between processes are flat
PR-08 | C | change  | kept   | the supervisor is killed: workers finish, and no orphan holds a port
PR-09 | C | change  | kept   | an error that nobody hears ends one worker, and is logged
`,
  ),
  part(
    'Resources and time',
    `
RS-01 | B | nightly | kept   | no descriptors are left: who is served is served on, and the next come when there are some again
RS-02 | C | nightly | kept   | accept fails now and then: the listener lives
RS-03 | B | nightly | kept   | memory over its soft limit: new connections are told to come back, and the log says so
RS-04 | C | release | kept   | ten thousand idle IMAP sessions: memory per session is told
RS-05 | B | change  | kept   | limits are those of the client, and never of its balancer
RS-06 | C | nightly | kept   | the clock jumps: timeouts and rates go by the steady one
RS-07 | C | nightly | kept   | all processors busy: an ordinary client is still greeted
RS-08 | C | nightly | kept   | networks that are slow, stall, split, reset, lose packets and let some overtake others: nothing acknowledged is lost
`,
  ),
  part(
    'Operation',
    `
OP-01 | A | nightly | kept   | reloads under load: no connection is refused, no message lost
OP-02 | A | nightly | kept   | SIGTERM under load: what is under way is finished
OP-03 | A | release | kept   | an upgrade in place, and one that fails: no connection is refused, and sessions go on
OP-04 | C | change  | kept   | a reload with a broken configuration changes nothing
OP-05 | C | change  | kept   | a start with a wrong or dangerous configuration is refused, or told loudly
OP-06 | B | change  | kept   | attacks on the admin endpoint
OP-07 | C | change  | void   | labels of metrics that clients choose | no label is a client's
OP-08 | C | change  | kept   | the health endpoint tells a store that cannot be written, and a drain
OP-09 | D | release | kept   | no debugger by signal in a worker, nor in the supervisor of the unit and of the image; no core dump of the unit
`,
  ),
  part(
    'JavaScript',
    `
JS-01 | B | change  | kept   | names that every object has, as header, parameter, mailbox, user, key
JS-02 | B | change  | kept   | no regular expression takes long over any text
JS-03 | D | change  | kept   | numbers are decimal digits, and nothing else
JS-04 | A | nightly | kept   | old memory is in no reply, no line and no file
JS-05 | D | change  | kept   | what is kept of a message holds no buffer that it came in
JS-06 | A | change  | kept   | two identities are equal only when their bytes are
JS-07 | D | change  | kept   | a socket that is gone between two awaits
JS-08 | D | change  | kept   | timers and listeners return to their base
JS-09 | D | change  | kept   | a million small pieces are no long string
`,
  ),
  part(
    'Supply chain and hardening',
    `
SU-01 | D | change  | kept   | every package has its checksum in the lockfile, and none runs a script at install
SU-02 | D | release | elsewhere | no package with a known weakness | needs an advisory database, which a test run does not ask for
SU-03 | D | change  | kept   | runtime dependencies are few, and pinned
SU-04 | D | release | elsewhere | releases name where they were built; two builds are one | needs a registry that is published to; release.yml does both, by trusted publishing, and a test reads it
SU-05 | D | change  | kept   | no secrets, no test keys and no foreign files in a package
HD-01 | D | release | kept   | low ports with one capability, and no other right
HD-02 | D | release | kept   | the systemd unit has few rights: its exposure is below 2.2
HD-03 | D | release | elsewhere | a container that is read-only and not root | needs a container runtime
HD-04 | D | release | void   | Node's own permission model | it takes fsync away (Node 26.10), and what is not synced is not acknowledged: each RCPT to the store is put off with 451
HD-05 | D | change  | kept   | mail files are their owner's alone; secrets that others can read are refused
`,
  ),
]

export const rows: readonly Row[] = matrix.flatMap((each) => each.rows)
