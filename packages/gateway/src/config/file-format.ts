/*
 * The configuration file as it is written: every key, what may stand there, its default, and what it means. The JSON
 * Schema for editors and the table in docs/configuration.md are made from this one description.
 */
import { z } from 'zod'
import { parseBindAddress } from './bind-address.ts'
import type { AdminTable, ConfigFile, RouteTable } from './config-file.ts'
import {
  bindAddress,
  bindWords,
  bytes,
  ceiling,
  ceilingOfBytes,
  domain,
  duration,
  fileName,
  networks,
  oneOf,
  table,
  text,
  wholeNumber,
} from './format-values.ts'
import { authentication, policy, scanner } from './policy-format.ts'
import { lookup, route, upstream } from './upstream-format.ts'

const server = table({
  hostname: domain.optional().describe('The name in greetings and in `Received`. Default: the name of the machine.'),
  workers: z
    .union([z.literal('auto'), wholeNumber(1, 256)], { error: '"auto", or a whole number from 1 to 256' })
    .prefault('auto')
    .describe('Worker processes. `auto` is one for each processor.'),
  'data-dir': fileName.prefault('.postern').describe('Where the embedded store keeps its mail.'),
  user: text('the name of a user of the system', /^[a-z_][a-z0-9_.-]{0,31}$/)
    .optional()
    .describe('Started by root, the gateway goes on as this user, once its ports are bound and its keys are read.'),
})

const proxy = table({
  'trusted-networks': networks
    .prefault([])
    .describe('Balancers: who may send a PROXY header, on listeners without a list of their own. Empty trusts nobody.'),
  'header-timeout': duration('3s', '10m')
    .prefault('30s')
    .describe('From the accept to the last byte of the header, however it trickles in.'),
  'max-header-bytes': bytes('232B', '65551B')
    .prefault('4KiB')
    .describe(
      'Largest header taken; the protocol ends at 65551B. Client certificates in TLVs need more than the default.',
    ),
})

const listenerProxy = table({
  mode: oneOf(['off', 'require', 'mixed', 'optional'])
    .optional()
    .describe('Who must send a header. Default: `mixed` when any network is trusted here, else `off`.'),
  'trusted-networks': networks.optional().describe('Replaces the list of `[proxy]` for this listener.'),
  'tls-networks': networks
    .optional()
    .describe(
      'Of the trusted networks, those whose word on the client’s TLS (SSL TLV) is taken, so that logins are offered: default all of them, and an empty list none.',
    ),
  'optional-wait': duration('100ms', '30s')
    .prefault('1s')
    .describe('Mode `optional`: how long the greeting waits for a header that may come.'),
  'refuse-second-header': z
    .boolean({ error: 'true or false' })
    .prefault(false)
    .describe('Refuse a connection whose header is followed by another header, instead of taking that as a command.'),
})

const clientCertificates = ['off', 'request', 'require'] as const

const listener = table({
  protocol: oneOf(['smtp', 'submission', 'lmtp', 'imap']).describe('What is spoken.'),
  bind: z
    .union([bindAddress, z.array(bindAddress, { error: bindWords }).min(1, { error: `${bindWords}; at least one` })], {
      error: `${bindWords}; or a list of them`,
    })
    .describe('Where it listens. Without a port: 25, 587, 24 or 143; with `tls = "implicit"` 465 or 993.'),
  tls: oneOf(['off', 'starttls', 'implicit'])
    .prefault('starttls')
    .describe('`starttls` when the client asks; `implicit` from the first byte behind the PROXY header.'),
  'require-tls': z
    .boolean({ error: 'true or false' })
    .prefault(false)
    .describe(
      '`530` in the clear to all but EHLO, STARTTLS, NOOP and QUIT. Not for a host in MX records (RFC 3207 section 4). A balancer’s TLS counts.',
    ),
  'max-connections': ceiling(1_000_000)
    .prefault('unlimited')
    .describe('Connections of this listener in one worker at a time.'),
  'sign-in': oneOf(['accounts', 'upstream'])
    .prefault('accounts')
    .describe(
      'Who says whether credentials are right: the accounts file, or the backend to which the routes lead for the user. `submission` and `imap` only.',
    ),
  'when-backends-down': oneOf(['defer', 'refuse'])
    .prefault('defer')
    .describe(
      'When all upstreams of its routes are down: `defer` each recipient and login, or `refuse` each client at once. Health checks are refused in any case.',
    ),
  'client-certificates': oneOf(clientCertificates).optional().describe('Replaces that of `[tls]` for this listener.'),
  proxy: listenerProxy.prefault({}),
})

const listenerName = text('a name of lower-case letters, digits and hyphens, at most 32', /^[a-z][a-z0-9-]{0,31}$/)

const upstreamName = text(
  'a name of lower-case letters, digits and hyphens, at most 32; not "store" or "refuse"',
  /^(?!(?:store|refuse)$)[a-z][a-z0-9-]{0,31}$/,
)

const certificate = table({
  cert: fileName.describe('A PEM file: the certificate, then its chain.'),
  key: fileName.describe('A PEM file: the private key, not encrypted.'),
})

const urlWords = 'an address that begins with https://, or with http:// and a loopback host'
const serviceUrl = z.string({ error: urlWords }).refine(isServiceUrl, { error: urlWords })

/** What is said to a service in the clear stays on this machine. */
function isServiceUrl(written: string): boolean {
  const url = URL.canParse(written) ? new URL(written) : undefined
  if (url === undefined || url.username !== '' || url.password !== '' || url.hash !== '') return false
  return (
    url.protocol === 'https:' || (url.protocol === 'http:' && /^(?:localhost|127\.[\d.]+|\[::1\])$/.test(url.hostname))
  )
}

const acme = table({
  names: z
    .array(domain, { error: 'a list of domain names' })
    .min(1, { error: 'a list of domain names; at least one' })
    .max(100, { error: 'at most 100 domain names' })
    .describe('What the certificate is for, all of them in one. Each must lead to this machine.'),
  'agree-to-terms': z
    .boolean({ error: 'true or false' })
    .prefault(false)
    .describe('That you have read and agree to the terms of service of the authority. Without it nothing is ordered.'),
  directory: serviceUrl
    .prefault('https://acme-v02.api.letsencrypt.org/directory')
    .describe('The authority: where its ACME directory is. Default: that of Let’s Encrypt.'),
  email: text('an address, as in "postmaster@example.org"', /^[!-~]{1,64}@[\w.-]{1,189}$/)
    .optional()
    .describe('Told to the authority as whom to write to.'),
  bind: bindAddress
    .optional()
    .describe(
      'Where challenges are answered (HTTP-01), as in "0.0.0.0:80"; port 80 when there is none. Without the key the admin endpoint answers them, to which somebody must lead `/.well-known/acme-challenge/` of each name.',
    ),
  folder: fileName
    .optional()
    .describe('Where the account key and the certificate are kept. Default: `acme` in `server.data-dir`.'),
  'key-type': oneOf(['ecdsa', 'rsa']).prefault('ecdsa').describe('Of the certificate: P-256, or RSA of 2048 bits.'),
  'renew-before': duration('1h', '60d')
    .prefault('30d')
    .describe('How long before its end the certificate is renewed; never longer than a third of its life.'),
  'external-account': table({
    'key-id': text('text without blanks and control characters, at most 255', /^[!-~]{1,255}$/).describe(
      'The identifier that the authority gave you.',
    ),
    'key-file': fileName.describe('A file with the key that goes with it, in base64url on one line.'),
  })
    .optional()
    .describe('For authorities with accounts of their own.'),
})

const tls = table({
  acme: acme.optional().describe('A certificate is ordered, and renewed, by ACME (RFC 8555).'),
  certificates: z
    .array(certificate, { error: 'a list of tables, as in [{ cert = "mx.pem", key = "mx.key" }]' })
    .prefault([])
    .describe(
      'The first serves clients that name no server; the others are chosen by SNI. Beside the first there may be one of its names with another kind of key, as ECDSA and RSA.',
    ),
  'min-version': oneOf(['1.2', '1.3']).prefault('1.2').describe('The oldest TLS that is spoken.'),
  ciphers: text('a list of ciphers as OpenSSL has it, with colons between', /^[\w!+@=-]+(?::[\w!+@=-]+)*$/)
    .optional()
    .describe('Of TLS 1.2 and 1.3 together, in order of preference. Default: what Node takes.'),
  'client-certificates': oneOf(clientCertificates)
    .prefault('off')
    .describe(
      'Whether clients are asked for a certificate. `request`: one that is not good counts as none; `require`: the handshake fails. See `accounts.client-certificates`.',
    ),
  'client-ca': fileName
    .optional()
    .describe('A PEM file: who signs the certificates of clients. Nobody else is believed.'),
})

const oneWord = text('text without blanks and control characters, at most 255', /^[!-~]{1,255}$/)

const oauth = table({
  'introspection-url': serviceUrl.describe('Where tokens are asked about (RFC 7662).'),
  'client-id': oneWord.optional().describe('Who we are to that service.'),
  'client-secret-file': fileName.optional().describe('A file with the secret that goes with it, on one line.'),
  'account-claim': oneWord.prefault('username').describe('The member of its answer that names the account.'),
  scope: text('scopes with single blanks between', /^[!-~]+(?: [!-~]+)*$/)
    .optional()
    .describe('The scopes that a token must have, with blanks between.'),
  audience: oneWord.optional().describe('What a token must be meant for (`aud`).'),
  'discovery-url': serviceUrl
    .optional()
    .describe('Told to clients whose token is refused, as `openid-configuration` (RFC 7628).'),
  timeout: duration('100ms', '30s').prefault('5s').describe('For an answer, from the question to its last byte.'),
  'cache-time': z
    .union([z.literal('off'), duration('1s', '1h')], { error: 'a duration from "1s" to "1h", or "off"' })
    .prefault('1m')
    .describe(
      'How long an answer is believed, and with it a token that was taken back. Never longer than the token lives.',
    ),
})

const accounts = table({
  file: fileName.optional().describe('Who may sign in; written by `postern user`. Without it nobody can.'),
  'client-certificates': z
    .boolean({ error: 'true or false' })
    .prefault(false)
    .describe(
      'A client certificate that was verified, here (`tls.client-ca`) or by a trusted balancer (SSL TLV), signs in, by SASL EXTERNAL, the account that its common name says.',
    ),
  oauth: oauth
    .optional()
    .describe('Tokens of OAuth 2.0 sign in, by SASL OAUTHBEARER and XOAUTH2. Without the table they are not taken.'),
})

const smtp = table({
  'local-domains': z
    .array(domain, { error: 'a list of domain names' })
    .optional()
    .describe('Domains whose mail is taken from anybody. Default: the host name.'),
  'max-message-size': bytes('64KiB', '1GiB').prefault('25MiB').describe('Announced as `SIZE` (RFC 1870).'),
  'max-recipients': wholeNumber(100, 50_000)
    .prefault(1_000)
    .describe('Recipients of one transaction; RFC 5321 section 4.5.3.1.8 asks for 100 at least.'),
  'bare-newline': oneOf(['normalize', 'note', 'reject'])
    .prefault('normalize')
    .describe(
      'A CR or LF alone in a message is made CRLF or a space, the same and logged, or the message is refused. None ends it.',
    ),
  nul: oneOf(['reject', 'strip'])
    .prefault('reject')
    .describe('A message with NULs is refused with `554`, or loses them.'),
  'subaddress-separator': oneOf(['+', '-', '=', '_', 'off'])
    .prefault('+')
    .describe(
      '`ann+folder@` is mail of `ann@`, for the mailbox `folder` when there is one, and else for INBOX (RFC 5233).',
    ),
  'submission-sender': oneOf(['own', 'any'])
    .prefault('own')
    .describe('Which addresses a user who signed in may send as: `own` are those whose mail they get. Over it `553`.'),
  'error-delay': z
    .union([z.literal('off'), duration('100ms', '10s')], { error: 'a duration from "100ms" to "10s", or "off"' })
    .prefault('1s')
    .describe('After five errors of a client, each more holds its replies back by so much more, up to `10s`.'),
  'greeting-delay': z
    .union([z.literal('off'), duration('100ms', '30s')], { error: 'a duration from "100ms" to "30s", or "off"' })
    .prefault('off')
    .describe(
      'Listeners with `protocol = "smtp"` greet so much later, and answer `421` to a client that does not wait for it.',
    ),
  'greeting-tease': z
    .boolean({ error: 'true or false' })
    .prefault(false)
    .describe(
      'With a `greeting-delay`: a first line of the greeting is sent at once, and the last one behind the delay.',
    ),
  'first-command-timeout': duration('5s', '10m')
    .prefault('1m')
    .describe('From the greeting to the first EHLO. Over it `421`, as over the others.'),
  'command-timeout': duration('10s', '1h')
    .prefault('5m')
    .describe('For each command, however it trickles in. RFC 5321 section 4.5.3.2.7 asks for `5m` at least.'),
  'data-timeout': duration('10s', '1h')
    .prefault('3m')
    .describe('For each block of a message, which is as much as `min-data-rate` makes of this time.'),
  'min-data-rate': bytes('1B', '1MiB')
    .prefault('500B')
    .describe('Of a message in each second, on average over `data-timeout`. What is slower is cut off.'),
  'session-timeout': z
    .union([z.literal('off'), duration('1m', '7d')], { error: 'a duration from "1m" to "7d", or "off"' })
    .prefault('off')
    .describe('For a whole session, whatever moves in it.'),
  'max-command-line': bytes('512B', '12KiB')
    .prefault('4KiB')
    .describe('Octets of a command line. Over it `500`; RFC 5321 section 4.5.3.1.4 asks for 512 at least.'),
  'max-header-size': bytes('16KiB', '16MiB').prefault('256KiB').describe('Header section of a message. Over it `554`.'),
  'max-hops': wholeNumber(10, 1_000).prefault(50).describe('`Received` fields of a message. Over it `554`: a loop.'),
  'max-errors': wholeNumber(1, 10_000)
    .prefault(20)
    .describe('Commands of a client that were refused since its last accepted message. After them `421`.'),
  'max-idle-commands': wholeNumber(1, 10_000)
    .prefault(100)
    .describe('Commands that move no mail (NOOP, RSET, VRFY, another EHLO), counted likewise. After them `421`.'),
  'max-failed-logins': wholeNumber(1, 100).prefault(3).describe('Failed sign-ins on one connection. After them `421`.'),
  'relay-networks': networks
    .prefault([])
    .describe(
      'Clients that may relay without signing in: routes without `recipients` take their mail. No other list gives that right.',
    ),
  multi: oneOf(['defer', 'fanout'])
    .prefault('defer')
    .describe(
      'A message whose recipients belong to several places. `defer`: the first one fixes the place, and others are answered `452`. `fanout`: it goes to all at once; where some take it and others do not, its client is told to send it again, and a journal keeps it from those who have it.',
    ),
  'xclient-networks': networks
    .prefault([])
    .describe(
      'Front ends that may announce another client by `XCLIENT`. Nobody else may, not even a trusted balancer.',
    ),
  'xforward-networks': networks
    .prefault([])
    .describe('Front ends that may announce another client by `XFORWARD`, which is for the log alone.'),
})

const imap = table({
  'id-networks': networks
    .prefault([])
    .describe(
      'Front ends, as a webmail or a proxy, that may say by ID for whom they speak (`x-originating-ip` and its fellows). Nobody else may, not even a trusted balancer.',
    ),
  unauthenticate: z
    .boolean({ error: 'true or false' })
    .prefault(true)
    .describe(
      'Whether a connection to the store may be signed out of, and serve another user then (RFC 8437). Take it away behind a proxy that judges the first login only.',
    ),
})

const serverWords = 'an IP address, or one with a port, as in "192.0.2.53" or "[2001:db8::53]:5353"'
const noPort = { port: 0 }
const dns = table({
  servers: z
    .array(
      z.string({ error: serverWords }).refine((written) => (parseBindAddress(written) ?? noPort).port !== 0, {
        error: serverWords,
      }),
      { error: `a list, each ${serverWords}` },
    )
    .prefault([])
    .describe('The servers that are asked. Empty: those of the system.'),
  timeout: duration('100ms', '30s').prefault('2s').describe('For one question, all its tries together.'),
  tries: wholeNumber(1, 5).prefault(2).describe('How often a question is sent before it counts as not answered.'),
  'client-names': z
    .boolean({ error: 'true or false' })
    .prefault(true)
    .describe(
      'Look up the names of SMTP clients from the accept on, for `Received` and what backends are told. No greeting waits for it.',
    ),
})

const limits = table({
  'max-connections-per-worker': ceiling(1_000_000).prefault(20_000).describe('Over it a worker accepts no more.'),
  'worker-memory': ceilingOfBytes('64MiB', '256GiB')
    .prefault('2GiB')
    .describe('Resident memory of a worker. Over it new connections are told to come back (`421`, `* BYE`).'),
  'max-tls-handshakes-per-worker': wholeNumber(1, 10_000)
    .prefault(1000)
    .describe('Handshakes under way at once; over it the one that has taken longest is given up.'),
  'tls-handshake-timeout': duration('1s', '5m')
    .prefault('10s')
    .describe('From the first byte to the end of a handshake.'),
  'drain-timeout': duration('1s', '1h')
    .prefault('30s')
    .describe('How long sessions may take to end when the gateway stops, or their worker is replaced.'),
  'drain-notice': duration('1s', '10m')
    .prefault('10s')
    .describe('How long `postern drain` fails health checks before it stops: what a balancer needs to turn away.'),
  'password-checks-at-once': wholeNumber(1, 64)
    .prefault(2)
    .describe('Password hashes computed at once in a worker. Each takes a thread and some 20 MiB for 30 ms.'),
  'password-checks-waiting': wholeNumber(1, 100_000)
    .prefault(64)
    .describe('Over it, signing in is temporarily unavailable.'),
})

const log = table({
  level: oneOf(['trace', 'debug', 'info', 'warn', 'error']).prefault('info').describe('The least that is logged.'),
})

export const admin: z.ZodType<AdminTable> = table({
  bind: z
    .union([z.literal('off'), bindAddress], { error: `${bindWords}; or "off"` })
    .prefault('127.0.0.1:2080')
    .describe('Health, metrics and status over HTTP. Anyone who reaches it may read it.'),
  'token-file': fileName
    .optional()
    .describe(
      'A file, mode 0600, with the token for `postern reload` and `postern drain`. Without it nobody can do so over HTTP.',
    ),
})

const routes: z.ZodType<readonly RouteTable[]> = z
  .array(route, { error: 'tables written [[route]]' })
  .max(10_000, { error: 'at most 10000 routes; a directory service takes more' })
  .prefault([])
  .describe('Where mail and logins go; the first that matches.')

export const fileFormat: z.ZodType<ConfigFile> = table({
  server: server.prefault({}),
  proxy: proxy.prefault({}),
  listener: z
    .record(listenerName, listener, { error: 'tables named [listener.NAME]' })
    .prefault({})
    .describe('One table for each listener; the name appears in logs.'),
  upstream: z
    .record(upstreamName, upstream, { error: 'tables named [upstream.NAME]' })
    .prefault({})
    .describe('One table for each group of backends.'),
  lookup: z
    .record(upstreamName, lookup, { error: 'tables named [lookup.NAME]' })
    .prefault({})
    .describe('One table for each directory that routes can ask.'),
  route: routes,
  tls: tls.prefault({}),
  accounts: accounts.prefault({}),
  smtp: smtp.prefault({}),
  imap: imap.prefault({}),
  dns: dns.prefault({}),
  policy: policy.prefault({}),
  authentication: authentication.prefault({}),
  scanner: scanner.optional(),
  limits: limits.prefault({}),
  log: log.prefault({}),
  admin: admin.prefault({}),
})
