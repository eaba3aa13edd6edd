/*
 * An Exim of the test's own: everything of it is in a temporary folder, and it speaks to loopback only. Its package and
 * Postfix's exclude each other, so the program is where `scripts/install-test-peers.sh` unpacked it. It is started as
 * root, or through sudo: it becomes its own user by itself.
 */
import { execFileSync } from 'node:child_process'
import { chmodSync, copyFileSync, existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Certificate } from './certificates.ts'
import { linesOf, messagesIn, startDaemon } from './daemon.ts'
import { temporaryFolder } from './folder.ts'
import { freePorts } from './ports.ts'
import { asRoot, isRoot } from './root.ts'

const program = '/opt/postern-test-peers/exim/usr/sbin/exim4'

export interface EximOptions {
  /**
   * Whose mail it keeps. Local parts `nobody` and `later` are refused at RCPT, for good and for now; `picky` and `busy`
   * are so behind the data, each for itself where the client asks for PRDR.
   */
  readonly domain?: string
  /** Where else mail for a domain goes: a port of 127.0.0.1, tried at once. */
  readonly transports?: Readonly<Record<string, { readonly port: number; readonly protocol: 'smtp' | 'lmtp' }>>
  /** STARTTLS is offered with it. */
  readonly certificate?: Certificate
}

export interface Exim {
  /** `proxied` wants a PROXY header. */
  readonly ports: { readonly plain: number; readonly proxied: number }
  /** Lines of its main log so far. */
  readonly log: () => readonly string[]
  /** The first line, from the start or yet to come, that matches. */
  readonly waitForLog: (what: string, pattern: RegExp) => Promise<string>
  /** Waits for a message in which the text stands, as it was stored: with LF. */
  readonly waitForMessage: (text: string) => Promise<string>
  readonly messages: () => readonly string[]
  readonly stop: () => Promise<void>
}

/** Starts Exim and waits until it listens. */
export async function startExim(options: EximOptions = {}): Promise<Exim> {
  if (!existsSync(program)) {
    throw new Error('exim4 is not installed: run `sh scripts/install-test-peers.sh` and try again')
  }
  const folder = temporaryFolder('exim')
  chmodSync(folder, 0o755)
  const path = (name: string): string => join(folder, name)
  for (const name of ['spool', 'log', 'mail']) mkdirSync(path(name))
  execFileSync(...asRoot('chown', 'Debian-exim:Debian-exim', path('spool'), path('log'), path('mail')))
  // Its own user must be able to read them.
  if (options.certificate !== undefined) {
    for (const file of ['cert', 'key'] as const) copyFileSync(options.certificate[file], path(`${file}.pem`))
    execFileSync(...asRoot('chown', 'Debian-exim', path('key.pem')))
  }
  const ports = await freePorts('plain', 'proxied')
  const configuration = path('exim.conf')
  writeFileSync(configuration, configurationOf(folder, ports, options), { mode: 0o644 })
  // Exim trusts no configuration that somebody else could have written.
  execFileSync(...asRoot('chown', 'root:root', configuration))

  const log = (): readonly string[] => linesOf(path('log/main'))
  const exim = startDaemon('Exim', asRoot(program, '-C', configuration, '-bdf'), () => [
    ...linesOf(path('log/panic')),
    ...log().slice(-40),
  ])
  const waitForLog = (what: string, pattern: RegExp): Promise<string> =>
    exim.found(`Exim's log to tell ${what}`, () => log().find((line) => pattern.test(line)))
  const messages = (): readonly string[] => messagesIn(path('mail/new'))

  await waitForLog('that it has started', /daemon started/)
  return {
    ports,
    log,
    waitForLog,
    messages,
    waitForMessage: (text) =>
      exim.found(`a message with ${JSON.stringify(text)}`, () => messages().find((each) => each.includes(text))),
    stop: async () => {
      await exim.stop()
      if (!isRoot) execFileSync('sudo', ['-n', 'rm', '-rf', folder])
    },
  }
}

function configurationOf(
  folder: string,
  ports: Exim['ports'],
  { domain = 'example.org', transports = {}, certificate }: EximOptions,
): string {
  const sent = Object.entries(transports)
  return `
primary_hostname = exim.test
exim_path = ${program}
# The process that delivers is started by one that is no longer root, with a configuration that is not the system's.
deliver_drop_privilege = true
spool_directory = ${folder}/spool
log_file_path = ${folder}/log/%s
log_selector = +smtp_connection +incoming_port +proxy +received_recipients +smtp_protocol_error +smtp_syntax_error
daemon_smtp_ports = ${ports.plain} : ${ports.proxied}
local_interfaces = 127.0.0.1
keep_environment =
host_lookup =
rfc1413_query_timeout = 0s
hosts_proxy = \${if ={$received_port}{${ports.proxied}}{127.0.0.1}{}}
prdr_enable = true
chunking_advertise_hosts = *
smtputf8_advertise_hosts = *
dsn_advertise_hosts = *
pipelining_connect_advertise_hosts =
${certificate === undefined ? 'tls_advertise_hosts =' : `tls_advertise_hosts = *\ntls_certificate = ${folder}/cert.pem\ntls_privatekey = ${folder}/key.pem`}
acl_smtp_rcpt = rcpt
acl_smtp_data_prdr = verdict
acl_smtp_data = accept
acl_smtp_vrfy = deny
never_users =

begin acl
rcpt:
  deny  local_parts = nobody
        message = no such user here
  defer local_parts = later
        message = this mailbox is busy
  accept domains = ${[domain, ...sent.map(([name]) => name)].join(' : ')}
  deny  message = relay not permitted
verdict:
  deny  local_parts = picky
        message = not for me
  defer local_parts = busy
        message = not now
  accept

begin routers
${sent.map(([name], index) => `out${index}:\n  driver = manualroute\n  domains = ${name}\n  route_list = * 127.0.0.1 byname\n  transport = out${index}\n  self = send\n  host_find_failed = defer\n`).join('')}
keep:
  driver = accept
  transport = inbox

begin transports
${sent.map(([, { port, protocol }], index) => `out${index}:\n  driver = smtp\n  port = ${port}\n  protocol = ${protocol}\n  allow_localhost\n  hosts_try_prdr = *\n  hosts_try_chunking = *\n  hosts_try_fastopen =\n  tls_verify_certificates =\n`).join('')}
inbox:
  driver = appendfile
  directory = ${folder}/mail
  maildir_format
  envelope_to_add
  return_path_add

begin retry
* * F,1m,1s
`
}
