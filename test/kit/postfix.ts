/*
 * A Postfix of the test's own: its configuration, queue and mailboxes are in a temporary folder, it listens on loopback
 * and dials loopback only, and its log is there, too. Its master is started as root, or through sudo.
 */
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import type { Certificate } from './certificates.ts'
import { linesOf, messagesIn, startDaemon } from './daemon.ts'
import { temporaryFolder } from './folder.ts'
import { requirePeer } from './peers.ts'
import { freePorts } from './ports.ts'
import { asRoot, isRoot } from './root.ts'
import { run } from './run.ts'

export interface PostfixOptions {
  /** Whose mail it takes. Local parts `nobody` and `later` are refused, for good and for now. */
  readonly domains?: readonly string[]
  /**
   * Where else mail for a domain goes, as transport(5) has it: `smtp:[127.0.0.1]:2525`, `lmtp:inet:127.0.0.1:2424`. It
   * is tried at once, and again every second.
   */
  readonly transports?: Readonly<Record<string, string>>
  /** STARTTLS is offered with it. */
  readonly certificate?: Certificate
  /** Further lines of main.cf. */
  readonly main?: readonly string[]
}

export interface Postfix {
  /**
   * One and the same server: `plain` believes the connection, `proxied` wants a PROXY header, `xclient` takes XCLIENT
   * and XFORWARD from everybody here.
   */
  readonly ports: { readonly plain: number; readonly proxied: number; readonly xclient: number }
  /** Lines of its log so far. */
  readonly log: () => readonly string[]
  /** The first line, from the start or yet to come, that matches. */
  readonly waitForLog: (what: string, pattern: RegExp) => Promise<string>
  /** The messages that it keeps, as its own delivery agent stored them: with LF. */
  readonly messages: () => readonly string[]
  /** Waits for a message in which the text stands. */
  readonly waitForMessage: (text: string) => Promise<string>
  readonly stop: () => Promise<void>
}

/** Starts Postfix and waits until it greets. */
export async function startPostfix(options: PostfixOptions = {}): Promise<Postfix> {
  requirePeer('postfix')
  const folder = temporaryFolder('postfix')
  chmodSync(folder, 0o755)
  const path = (name: string): string => join(folder, name)
  for (const name of ['config', 'queue', 'data', 'mail']) mkdirSync(path(name))
  makeOwned(path('data'), 'postfix')
  makeOwned(path('mail'), 'nobody')
  const ports = await freePorts('plain', 'proxied', 'xclient')
  writeFileSync(path('config/main.cf'), mainOf(folder, options))
  writeFileSync(path('config/master.cf'), masterOf(ports))

  await makeFolders(path('config'))
  // The master itself: behind `postfix start-fg` it is nobody's child who could be told to stop it.
  const master = join(execFileSync('postconf', ['-h', 'daemon_directory'], { encoding: 'utf8' }).trim(), 'master')
  const log = (): readonly string[] => linesOf(path('log'))
  const postfix = startDaemon('Postfix', asRoot(master, '-c', path('config'), '-s'), () => log().slice(-40))
  const waitForLog = (what: string, pattern: RegExp): Promise<string> =>
    postfix.found(`Postfix's log to tell ${what}`, () => log().find((line) => pattern.test(line)))
  const messages = (): readonly string[] => messagesIn(path('mail/inbox/new'))

  await waitForLog('that it has started', /daemon started/)
  return {
    ports,
    log,
    waitForLog,
    messages,
    waitForMessage: (text) =>
      postfix.found(`a message with ${JSON.stringify(text)}`, () => messages().find((each) => each.includes(text))),
    stop: async () => {
      await postfix.stop()
      if (!isRoot) execFileSync('sudo', ['-n', 'rm', '-rf', folder])
    },
  }
}

/** What Postfix needs in its queue directory, it makes itself. */
async function makeFolders(config: string): Promise<void> {
  const { code, stdout, stderr } = await run(...asRoot('postfix', '-c', config, 'check'))
  if (code !== 0) throw new Error(`postfix check: ${stdout}${stderr}`)
}

function makeOwned(folder: string, user: 'postfix' | 'nobody'): void {
  execFileSync(...asRoot('chown', user, folder))
}

function mainOf(
  folder: string,
  { domains = ['example.org'], transports = {}, certificate, main = [] }: PostfixOptions,
): string {
  const uid = Number(execFileSync('id', ['-u', 'nobody'], { encoding: 'utf8' }))
  const kept = domains.filter((domain) => transports[domain] === undefined)
  const refusals = domains.flatMap((domain) => [
    `{ nobody@${domain} = 550 5.1.1 no such user here }`,
    `{ later@${domain} = 450 4.2.1 this mailbox is busy }`,
  ])
  const sent = Object.entries(transports)
  return [
    'compatibility_level = 3.6',
    `queue_directory = ${folder}/queue`,
    `data_directory = ${folder}/data`,
    `maillog_file = ${folder}/log`,
    `maillog_file_prefixes = ${folder}`,
    'myhostname = postfix.test',
    'inet_interfaces = loopback-only',
    'inet_protocols = all',
    'mynetworks_style = host',
    'mydestination =',
    'alias_maps =',
    'local_recipient_maps =',
    // Names are looked up nowhere: what a test needs is written as an address.
    'smtp_dns_support_level = disabled',
    'smtpd_peername_lookup = no',
    'append_dot_mydomain = no',
    'strict_rfc821_envelopes = yes',
    'smtpd_client_port_logging = yes',
    `virtual_mailbox_domains = ${kept.join(' ')}`,
    `virtual_mailbox_base = ${folder}/mail`,
    'virtual_mailbox_maps = static:inbox/',
    `virtual_uid_maps = static:${uid}`,
    `virtual_gid_maps = static:${uid}`,
    'virtual_minimum_uid = 1',
    `relay_domains = ${sent.map(([domain]) => domain).join(' ')}`,
    'relay_recipient_maps =',
    `transport_maps = ${inline(sent.map(([domain, to]) => `{ ${domain} = ${to} }`))}`,
    `smtpd_recipient_restrictions = check_recipient_access ${inline(refusals)}, reject_unauth_destination`,
    'smtpd_relay_restrictions = reject_unauth_destination',
    // The next attempt comes while the test still waits.
    'queue_run_delay = 1s',
    'minimal_backoff_time = 1s',
    'maximal_backoff_time = 1s',
    'smtp_connection_cache_on_demand = no',
    ...(certificate === undefined
      ? []
      : [
          'smtpd_tls_security_level = may',
          `smtpd_tls_chain_files = ${certificate.key}, ${certificate.cert}`,
          'tls_random_source = dev:/dev/urandom',
        ]),
    ...main,
    '',
  ].join('\n')
}

function inline(entries: readonly string[]): string {
  return entries.length === 0 ? '' : `inline:{ ${entries.join(', ')} }`
}

function smtpd(port: number, ...settings: readonly string[]): string {
  return [`127.0.0.1:${port} inet n - n - - smtpd`, ...settings.map((setting) => `  -o { ${setting} }`)].join('\n')
}

function masterOf(ports: Postfix['ports']): string {
  const everybodyHere = '127.0.0.0/8, [::1]/128'
  return `${[
    smtpd(ports.plain),
    smtpd(ports.proxied, 'smtpd_upstream_proxy_protocol = haproxy'),
    smtpd(
      ports.xclient,
      `smtpd_authorized_xclient_hosts = ${everybodyHere}`,
      `smtpd_authorized_xforward_hosts = ${everybodyHere}`,
    ),
    'cleanup   unix  n - n - 0 cleanup',
    'qmgr      unix  n - n 1 1 qmgr',
    'rewrite   unix  - - n - - trivial-rewrite',
    'bounce    unix  - - n - 0 bounce',
    'defer     unix  - - n - 0 bounce',
    'trace     unix  - - n - 0 bounce',
    'verify    unix  - - n - 1 verify',
    'proxymap  unix  - - n - - proxymap',
    'smtp      unix  - - n - - smtp',
    'relay     unix  - - n - - smtp',
    'lmtp      unix  - - n - - lmtp',
    'virtual   unix  - n n - - virtual',
    'discard   unix  - - n - - discard',
    'error     unix  - - n - - error',
    'retry     unix  - - n - - error',
    'anvil     unix  - - n - 1 anvil',
    'tlsmgr    unix  - - n 1000? 1 tlsmgr',
    'scache    unix  - - n - 1 scache',
    'postlog   unix-dgram n - n - 1 postlogd',
  ].join('\n')}\n`
}
