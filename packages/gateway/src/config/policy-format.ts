/* The tables of the configuration file about who may come, and how often. */
import { z } from 'zod'
import type { ConfigFile, PolicyTable } from './config-file.ts'
import { bytes, ceiling, domain, duration, networks, oneOf, rate, table, text, wholeNumber } from './format-values.ts'

const replyText = text('a line of printable ASCII, at most 400 characters', /^[ -~]{1,400}$/)
const listeners = z
  .array(text('the name of a listener', /^[a-z][a-z0-9-]{0,31}$/), { error: 'a list of listeners' })
  .min(1, { error: 'a list of listeners; at least one' })
const checkAction = oneOf(['off', 'note', 'defer', 'refuse']).prefault('off')

const denyReply = table({
  code: wholeNumber(400, 599, 'an SMTP reply code from 400 to 599')
    .prefault(554)
    .describe('SMTP reply code: 4yz asks the client to come again, 5yz tells it not to.'),
  text: replyText.describe('What a denied client is told.'),
})

const accessRule = table({
  networks: networks.min(1, { error: 'at least one network' }).describe('The clients that it is about.'),
  action: oneOf(['allow', 'defer', 'refuse', 'drop']).describe(
    '`allow`: no DNS list and no check of greetings either. `defer` is `421`, `refuse` is `554`, `drop` closes without a word.',
  ),
  code: wholeNumber(400, 599, 'an SMTP reply code from 400 to 599')
    .optional()
    .describe('Instead of the usual one: 4yz with `defer`, 5yz with `refuse`.'),
  text: replyText.optional().describe('Said instead of the usual words, on IMAP as well.'),
  listeners: listeners.optional().describe('Where it holds. Default: everywhere.'),
})

const dnsList = table({
  zone: domain.describe('As in `zen.spamhaus.org`: what stands behind the reversed address (RFC 5782).'),
  kind: oneOf(['block', 'allow'])
    .prefault('block')
    .describe('A client on an `allow` list is refused by no `block` list.'),
  answers: networks
    .min(1, { error: 'at least one network' })
    .prefault(['127.0.0.0/8'])
    .describe('Which answers count as listed. 127.255.255.0/24 never does: lists refuse questions with it.'),
  action: oneOf(['note', 'defer', 'refuse'])
    .prefault('refuse')
    .describe('What a `block` list does with a client on it; `note` only writes it to the log.'),
  text: replyText
    .optional()
    .describe('What such a client is told; `{client}` becomes its address, `{zone}` the name of the list.'),
  listeners: listeners.optional().describe('Where it is asked. Default: listeners with `protocol = "smtp"`.'),
})

const hello = table({
  syntax: checkAction.describe('Neither a domain name nor an address literal (RFC 5321 section 4.1.1.1).'),
  unqualified: checkAction.describe('A name of one label, as in `EHLO desktop`.'),
  'own-name': checkAction.describe('Our host name, one of our local domains or our own address, from another host.'),
  'address-literal': checkAction.describe('The literal of another address than the client’s.'),
})

export const policy: z.ZodType<PolicyTable> = table({
  deny: networks.prefault([]).describe('Clients that are refused at connect.'),
  'deny-reply': denyReply.optional(),
  'ignored-hosts': networks
    .prefault([])
    .describe('Clients, after the header, that no policy and no log line is spent on: health checks, monitors.'),
  'exempt-networks': networks.prefault([]).describe('Clients without rate and concurrency limits.'),
  access: z
    .array(accessRule, { error: 'tables written [[policy.access]]' })
    .max(1000, { error: 'at most 1000 rules; a rule takes any number of networks' })
    .prefault([])
    .describe('Rules about clients; the first that matches decides, ahead of `deny`.'),
  'dns-list': z
    .array(dnsList, { error: 'tables written [[policy.dns-list]]' })
    .max(16, { error: 'at most 16 lists: each client waits for all of them' })
    .prefault([])
    .describe('DNS block and allow lists.'),
  hello: hello.prefault({}),
  'network-bits': table({
    ipv4: wholeNumber(8, 32).prefault(24).describe('Of an IPv4 address.'),
    ipv6: wholeNumber(16, 64).prefault(48).describe('Of an IPv6 address.'),
  })
    .prefault({})
    .describe('How much of an address names its network.'),
  rate: table({
    'connections-per-client': rate
      .prefault('unlimited')
      .describe('New connections of one client; over it `421`. The time begins with the first of them.'),
    'connections-per-network': rate
      .prefault('unlimited')
      .describe('The same of all clients of a network (`network-bits`) together.'),
    'commands-per-client': rate
      .prefault('unlimited')
      .describe(
        'Commands of one client, of SMTP and IMAP and over all its connections; over it `421` or `* BYE`, and its next connection is another matter. Not of IMAP behind a login at a backend.',
      ),
    'messages-per-client': rate.prefault('unlimited').describe('Messages begun by one client; over it `450` to MAIL.'),
    'messages-per-user': rate
      .prefault('unlimited')
      .describe('The same of one user who signed in, from wherever they come.'),
    'recipients-per-client': rate
      .prefault('unlimited')
      .describe('Recipients that one client offered, taken or not; over it `450` to RCPT.'),
    'recipients-per-user': rate.prefault('unlimited').describe('The same of one user who signed in.'),
    'failed-logins-per-client': rate
      .prefault('30/10m')
      .describe('Failed sign-ins of one client, over SMTP and IMAP together; then it is banned (`[policy.ban]`).'),
    'failed-logins-per-user': rate
      .prefault('100/1h')
      .describe(
        'Failed sign-ins as one user from anywhere; then only clients from where that user signed in before may.',
      ),
  }).prefault({}),
  concurrency: table({
    'connections-per-client': ceiling(1_000_000)
      .prefault(100)
      .describe('Open connections of one client; over it `421`. An IPv6 client is its /64.'),
    'connections-per-network': ceiling(1_000_000)
      .prefault('unlimited')
      .describe('The same of all clients of a network together.'),
    'sessions-per-user': ceiling(1_000_000)
      .prefault(100)
      .describe('IMAP sessions of one user at once, wherever they come from; over it `NO [LIMIT]`.'),
  }).prefault({}),
  ban: table({
    first: duration('10s', '1d')
      .prefault('10m')
      .describe('How long a first ban lasts; each further one twice as long.'),
    longest: duration('10s', '30d')
      .prefault('1d')
      .describe('The longest. Who stays out of trouble for so long behind a ban begins at the first again.'),
  }).prefault({}),
  fleet: table({
    url: text(
      'a URL: "redis://" or "rediss://", and no more than 1024 characters',
      /^rediss?:\/\/[!-~]{1,1015}$/,
    ).describe('A Valkey or Redis that all machines reach.'),
    prefix: text('printable ASCII without blanks, at most 128', /^[!-~]{0,128}$/)
      .prefault('postern:limit:')
      .describe('What stands before each key.'),
    timeout: duration('10ms', '5s')
      .prefault('100ms')
      .describe('For one question. Without an answer a machine goes by its own counts.'),
  }).optional(),
})

const onFailure = oneOf(['note', 'defer', 'reject']).prefault('note')

export const authentication: z.ZodType<ConfigFile['authentication']> = table({
  check: z
    .boolean({ error: 'true or false' })
    .prefault(false)
    .describe(
      'SPF, DKIM, DMARC and ARC of messages, for `Authentication-Results`. Messages of users who signed in are not.',
    ),
  listeners: listeners.optional().describe('Whose mail. Default: listeners with `protocol = "smtp"`.'),
  'on-spf-fail': onFailure.describe(
    'The domain of the reverse-path does not send from this client. Forwarded mail fails too, so prefer DMARC.',
  ),
  'on-dmarc-fail': onFailure.describe('Neither SPF nor DKIM vouches for the author, whose domain asks to reject.'),
  'trusted-arc-sealers': z
    .array(domain, { error: 'a list of domain names' })
    .prefault([])
    .describe('Forwarders whose seal (ARC) makes up for a DMARC failure: mailing lists that you know.'),
  timeout: duration('1s', '2m')
    .prefault('20s')
    .describe('For one message. Not known by then: `451` where a failure would have been refused.'),
  threads: wholeNumber(1, 16).prefault(1).describe('Of each worker.'),
})

const scannerUrl = 'an address of a scanner, as in "http://127.0.0.1:11333"'

export const scanner: z.ZodType<ConfigFile['scanner']> = table({
  url: text(scannerUrl, /^https?:\/\/(?:[\w.-]+|\[[\da-fA-F:]+\])(?::\d{1,5})?(?:\/[!-~]*)?$/).describe(
    'Rspamd’s normal worker, or what speaks its HTTP protocol. It gets every message, so keep it near.',
  ),
  listeners: listeners.optional().describe('Whose mail. Default: listeners with `protocol = "smtp"` or "submission".'),
  timeout: duration('100ms', '2m').prefault('15s').describe('For one message.'),
  'max-size': bytes('1KiB', '1GiB').prefault('20MiB').describe('Larger messages are not scanned.'),
  'when-down': oneOf(['accept', 'defer'])
    .prefault('accept')
    .describe('Without an answer a message is taken unscanned, or deferred with `451`.'),
})
