/* The tables of the configuration file about backends, and about which mail and which logins go to them. */
import { z } from 'zod'
import { parseBackendAddress } from './backend-address.ts'
import type { LookupTable, RouteTable, UpstreamTable } from './config-file.ts'
import {
  bytes,
  ceiling,
  domain,
  duration,
  fileName,
  networks,
  oneOf,
  table,
  text,
  wholeNumber,
} from './format-values.ts'

const backendWords =
  'a host and a port, as in "10.0.0.1:25", "mail.example.org" or "[2001:db8::1]:25"; or the path of a socket'
const backendAddress = z
  .string({ error: backendWords })
  .refine((written) => parseBackendAddress(written) !== undefined, { error: backendWords })

const backendTable = table({
  address: backendAddress,
  name: text(
    'a name of letters, digits, dots and hyphens',
    /^[A-Za-z0-9](?:[A-Za-z0-9.-]{0,62}[A-Za-z0-9])?$/,
  ).optional(),
  weight: wholeNumber(1, 1000).prefault(1),
  backup: z.boolean({ error: 'true or false' }).prefault(false),
})

const health = table({
  check: z
    .boolean({ error: 'true or false' })
    .prefault(true)
    .describe('Look at each backend regularly. Without it only failures of mail and logins tell that it is down.'),
  interval: duration('500ms', '1h').prefault('5s').describe('From one look to the next.'),
  timeout: duration('100ms', '1m').prefault('5s').describe('How long a look may take.'),
  rise: wholeNumber(1, 100).prefault(2).describe('Good looks in a row that bring a backend back.'),
  fall: wholeNumber(1, 100).prefault(3).describe('Bad looks in a row that take it away.'),
})

export const upstream: z.ZodType<UpstreamTable> = table({
  protocol: oneOf(['smtp', 'lmtp', 'imap']).describe('What the backends speak.'),
  backends: z
    .array(
      z.union([backendAddress, backendTable], {
        error: `${backendWords}; or a table with address, name, weight, backup`,
      }),
      {
        error: `a list: ${backendWords}; or tables, as in { address = "10.0.0.2:25", weight = 2, backup = true }`,
      },
    )
    .min(1, { error: 'at least one backend' })
    .max(256, { error: 'at most 256 backends' })
    .describe(
      'Where they listen. Without a port: 25, 24 or 143; with `tls = "implicit"` 465 or 993. A `backup` is used when all others are down. By its `name` `hash-user` knows it, in this upstream and in others; default: its host.',
    ),
  balance: oneOf(['round-robin', 'least-connections', 'hash-user'])
    .prefault('round-robin')
    .describe(
      'Which backend is tried first. `hash-user`: the same one for the same user, or else for the same first recipient, in every upstream whose backends have the same hosts (or names) and weights.',
    ),
  announce: oneOf(['none', 'received', 'proxy-v1', 'proxy-v2', 'xclient', 'xforward', 'imap-id'])
    .optional()
    .describe(
      'How backends learn who the client is. Default: `received` (only that field tells), and `none` with IMAP.',
    ),
  'announce-optional': z
    .boolean({ error: 'true or false' })
    .prefault(false)
    .describe('Go on where XCLIENT or XFORWARD is not offered: the backend then takes the gateway for the client.'),
  'max-header-bytes': bytes('107B', '64KiB')
    .prefault('536B')
    .describe('Largest PROXY header sent; TLVs that do not fit are left out. Postfix reads 536B, Exim 232B.'),
  'pass-tlvs': z
    .array(oneOf(['unique-id', 'authority', 'alpn', 'ssl']), { error: 'a list, as in ["unique-id", "ssl"]' })
    .prefault([])
    .describe('What `proxy-v2` says beside the addresses. Without an id from the balancer `unique-id` is ours.'),
  'header-checksum': z.boolean({ error: 'true or false' }).prefault(false).describe('Add a CRC32C to `proxy-v2`.'),
  tls: oneOf(['off', 'optional', 'starttls', 'implicit'])
    .prefault('off')
    .describe('`optional` takes any certificate, and goes on in the clear without one; the last two want proof.'),
  'tls-ca': fileName
    .optional()
    .describe('A PEM file: who may have signed the certificates. Default: what Node trusts.'),
  'tls-server-name': domain
    .optional()
    .describe('The name asked for and proven, for all backends. Default: each host as written.'),
  'tls-fingerprints': z
    .array(text('a SHA-256 fingerprint: 64 hexadecimal digits', /^(?:[0-9A-Fa-f]{2}:?){31}[0-9A-Fa-f]{2}$/), {
      error: 'a list of SHA-256 fingerprints',
    })
    .min(1, { error: 'at least one fingerprint' })
    .optional()
    .describe('The certificate must be one of these; then neither its name nor who signed it matters.'),
  'tls-cert': fileName.optional().describe('Our own certificate, for backends that ask for one.'),
  'tls-key': fileName.optional().describe('Its key.'),
  'max-connections': ceiling(1_000_000)
    .prefault('unlimited')
    .describe('Connections to each backend from one worker at a time.'),
  'idle-connections': z
    .union([wholeNumber(1, 1000), z.literal('off')], { error: 'a whole number from 1 to 1000, or "off"' })
    .optional()
    .describe(
      'SMTP and LMTP: connections to each backend that a worker keeps open for the next message. Only where they carry nothing of a client: with `received`, `none` and `xforward`. Default: 8 there.',
    ),
  'idle-time': duration('100ms', '5m')
    .optional()
    .describe('For how long: less than the backend, and what stands between, bears with. Default: 5s.'),
  'credentials-in-clear': z
    .boolean({ error: 'true or false' })
    .prefault(false)
    .describe('Tell backends what users sign in with though TLS is not required. For closed networks.'),
  'sign-in-mechanisms': z
    .array(oneOf(['SCRAM-SHA-256-PLUS', 'SCRAM-SHA-256', 'OAUTHBEARER', 'XOAUTH2', 'PLAIN', 'LOGIN']), {
      error: 'a list of SASL mechanisms',
    })
    .min(1, { error: 'at least one mechanism' })
    .optional()
    .describe(
      'How users are signed in at backends. Default: by the strongest mechanism that they offer; at IMAP backends by LOGIN, or a token. For backends that offer what they cannot do for every user, or hide from looks what they can: with a mechanism for tokens here, clients are offered tokens.',
    ),
  'master-user': text('a user name', /^[^\s\p{Cc}]{1,320}$/u)
    .optional()
    .describe(
      'IMAP: who signs in for every user, by PLAIN with the user as authorization identity (RFC 4616). Users are then judged here, by `sign-in = "accounts"`.',
    ),
  'master-password-file': fileName.optional().describe('Its password, the one line of a file.'),
  'slow-start': z
    .union([z.literal('off'), duration('1s', '1h')], { error: 'a duration from "1s" to "1h", or "off"' })
    .prefault('off')
    .describe('For how long a backend that came back gets less than its share, growing from nothing.'),
  timeouts: oneOf(['near', 'rfc5321'])
    .prefault('near')
    .describe('How long a backend may take: for the network next door, or the times of RFC 5321 section 4.5.3.2.'),
  health: health.prefault({}),
})

const recipientPattern =
  /^(?:(?:[^\s@"<>]{1,64}|"[^"\r\n]{1,62}")@|\.)?(?:[\p{L}\p{N}](?:[\p{L}\p{N}_-]{0,61}[\p{L}\p{N}])?)(?:\.[\p{L}\p{N}](?:[\p{L}\p{N}_-]{0,61}[\p{L}\p{N}])?){0,20}$/u
const recipient = text('an address, a domain, or ".example.org" for everything below a domain', recipientPattern)
const user = text(
  'a user name, "@example.org" for all users of a domain, or "@.example.org" for those below it',
  /^[^\s\p{Cc}]{1,320}$/u,
)
const serverName = text(
  'a server name, or ".example.org" for everything below it',
  /^\.?[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*$/,
)

function listOf(value: z.ZodString, expected: string): z.ZodArray<z.ZodString> {
  return z.array(value, { error: expected }).min(1, { error: `${expected}; at least one` })
}

export const route: z.ZodType<RouteTable> = table({
  recipients: listOf(recipient, 'a list of addresses and domains')
    .optional()
    .describe('Mail for these. A route without this key takes mail of users who signed in, or of relay networks.'),
  users: listOf(user, 'a list of user names').optional().describe('Who signed in, or wants to.'),
  'server-names': listOf(serverName, 'a list of server names')
    .optional()
    .describe('The name the client asked for by TLS (SNI), here or at a trusted balancer.'),
  authorities: listOf(serverName, 'a list of server names')
    .optional()
    .describe('The AUTHORITY that a trusted balancer told in its PROXY header.'),
  clients: networks.min(1, { error: 'at least one network' }).optional().describe('Networks of the client.'),
  listeners: listOf(text('the name of a listener', /^[a-z][a-z0-9-]{0,31}$/), 'a list of listeners')
    .optional()
    .describe('Listeners on which the client came.'),
  to: text('"store", "refuse", or the name of an [upstream.NAME]', /^[a-z][a-z0-9-]{0,31}$/)
    .optional()
    .describe('An upstream; or `store`, the embedded store; or `refuse`. Needed, unless `ask` says more.'),
  ask: text('the name of a [lookup.NAME]', /^[a-z][a-z0-9-]{0,31}$/)
    .optional()
    .describe('A directory that decides. `to` is then the upstream for answers that name none, or only one address.'),
})

const urlWords = 'a URL: "http://", "https://", "redis://" or "rediss://", and no more than 1024 characters'
export const lookup: z.ZodType<LookupTable> = table({
  url: text(urlWords, /^(?:https?|rediss?):\/\/[!-~]{1,1015}$/).describe(
    'The service. It hears of every recipient or user, and no password.',
  ),
  dialect: oneOf(['nginx', 'json'])
    .prefault('nginx')
    .describe('Of HTTP: headers as nginx writes them for `auth_http`, or JSON in the body.'),
  prefix: text('printable ASCII without blanks, at most 128', /^[!-~]{0,128}$/)
    .prefault('postern:route:')
    .describe('Of Redis: what stands before each key.'),
  timeout: duration('50ms', '30s').prefault('2s').describe('For one question, all its tries together.'),
  retries: wholeNumber(0, 5).prefault(1).describe('How often a question is asked again that was not answered.'),
  'cache-time': z
    .union([z.literal('off'), duration('1s', '1d')], { error: 'a duration from "1s" to "1d", or "off"' })
    .prefault('off')
    .describe(
      'How long an answer holds, for the same listener, user and recipient, whoever the client is: keep it off where the directory looks at the client.',
    ),
  'cache-entries': wholeNumber(1, 1_000_000).prefault(10_000).describe('Answers that one worker remembers.'),
  'when-down': oneOf(['defer', 'next'])
    .prefault('defer')
    .describe('Without an answer: `defer` (451, NO), or go on with the `next` route.'),
  'names-recipients': z
    .boolean({ error: 'true or false' })
    .optional()
    .describe(
      'It answers for recipients that are yours only, so mail for them is taken from everybody. Default: true for Redis, false for HTTP.',
    ),
})
