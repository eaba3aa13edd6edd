/*
 * The command line of `postern-bench`, in autocannon's words wherever it has one.
 */
import { parseArgs } from 'node:util'
import { UsageError } from '../command.ts'
import { readScript, type ImapOperation, type LoadMode, type LoadOptions, type ProxyVersion } from '../load/options.ts'

/** What the command line asks for, beside the load itself. */
export interface CommandLine {
  readonly load: LoadOptions
  readonly json: boolean
  readonly latency: boolean
  readonly renderStatusCodes: boolean
  readonly progress: boolean
  /** A server to start, and to measure on the port where it listens. */
  readonly onPort?: readonly string[]
}

/** Mode parse connects to nobody: arguments of the benchmark of that name. */
export interface InProcess {
  readonly parse: readonly string[]
}

export const usage = `usage: postern-bench [options] URL
       postern-bench [options] --on-port URL -- COMMAND [ARGUMENT …]
       postern-bench --mode parse [--rounds NUM] [--json]

URL is smtp://, lmtp://, submission:// or imap://[USER:PASSWORD@]HOST[:PORT]; smtps://, submissions:// and imaps:// are TLS
from the first byte.

  -m --mode MODE         connect (accept, header, greeting, close), session (a scripted dialogue), message (mail is
                         delivered), login (IMAP), imap (commands in a mailbox), idle (connections are held), parse
                         (PROXY headers, in this process: nanoseconds and allocated bytes). [connect]
  -c --connections NUM   connections at a time [10]
  -d --duration SEC      how long it is measured [10]
  -a --amount NUM        measures that many operations instead of a time
     --warmup SEC        the same load before it, not measured [0]
  -p --pipelining NUM    above 1, what may go out together does (RFC 2920, RFC 9051) [1]
  -w --workers NUM       threads of the generator [1]
  -R --overallRate NUM   operations a second, begun at their time; latencies count from that time, whether or not the
                         server kept up
  -t --timeout SEC       how long an operation may take [10]
  -j --json              the result as JSON, on the standard output
  -l --latency           every percentile
     --renderStatusCodes the replies by their code
     --no-progress       no progress bar
     --rounds NUM        measures that many times, and tells the spread [1]
     --on-port           starts COMMAND, measures it on the port where it listens, and ends it (Linux)
     --pid NUM           the process to watch, where it is not the one that listens on the port

  -P --proxy VERSION     none, v1, v2, v2-tlvs or v2-ssl (the client speaks TLS to the balancer, and so may sign in): the
                         header that each connection sends first [none]
     --clients NETWORK   the header names the next address of it each time, as 203.0.113.0/24
     --from NETWORK      connections come from the next address of it each time, as 127.1.0.0/16
     --starttls          upgrades before the work

  -s --size BYTES        of a message [2048]
     --sender ADDRESS    its reverse-path [ann@example.net]
     --recipient ADDRESS its forward-path [bob@example.org]
     --recipients NUM    how many of them; from 2 the local part gets a number [1]
     --users NUM         who signs in; from 2 the local part of USER gets a number [1]
     --reconnect         a connection for each message or command
     --mailbox NAME      mode imap and idle [INBOX]
     --append-to NAME    mode imap: where APPEND puts its messages [the same]
     --messages NUM      how many messages are in it [1]
     --mix KIND,…        mode imap: noop, select, fetch-flags, fetch-envelope, fetch-body, store, search, search-text,
                         append, idle
     --script FILE       mode session: lines of "C: …" and "S: CODE"
  -h --help
`

const modes: readonly string[] = ['connect', 'session', 'message', 'login', 'imap', 'idle'] satisfies LoadMode[]
const proxies: readonly string[] = ['none', 'v1', 'v2', 'v2-tlvs', 'v2-ssl'] satisfies ProxyVersion[]
const kinds: readonly string[] = [
  'noop',
  'select',
  'fetch-flags',
  'fetch-envelope',
  'fetch-body',
  'store',
  'search',
  'search-text',
  'append',
  'idle',
] satisfies ImapOperation[]

/** Reads the command line. Throws `UsageError`; undefined when it only asks for help. */
export function parseCommandLine(args: readonly string[]): CommandLine | InProcess | undefined {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      mode: { type: 'string', short: 'm', default: 'connect' },
      connections: { type: 'string', short: 'c' },
      duration: { type: 'string', short: 'd' },
      amount: { type: 'string', short: 'a' },
      warmup: { type: 'string' },
      pipelining: { type: 'string', short: 'p' },
      workers: { type: 'string', short: 'w' },
      overallRate: { type: 'string', short: 'R' },
      timeout: { type: 'string', short: 't' },
      json: { type: 'boolean', short: 'j', default: false },
      latency: { type: 'boolean', short: 'l', default: false },
      renderStatusCodes: { type: 'boolean', default: false },
      'no-progress': { type: 'boolean', default: false },
      rounds: { type: 'string' },
      'on-port': { type: 'boolean', default: false },
      pid: { type: 'string' },
      proxy: { type: 'string', short: 'P', default: 'none' },
      clients: { type: 'string' },
      from: { type: 'string' },
      starttls: { type: 'boolean', default: false },
      size: { type: 'string', short: 's' },
      sender: { type: 'string' },
      recipient: { type: 'string' },
      recipients: { type: 'string' },
      users: { type: 'string' },
      reconnect: { type: 'boolean', default: false },
      mailbox: { type: 'string' },
      'append-to': { type: 'string' },
      messages: { type: 'string' },
      mix: { type: 'string' },
      script: { type: 'string' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
  if (values.help) return undefined
  const [url, ...command] = positionals
  if (values.mode === 'parse') {
    if (url !== undefined) throw new UsageError('mode parse takes no URL')
    const rounds = values.rounds === undefined ? [] : ['--rounds', values.rounds]
    return { parse: [...rounds, ...(values.json ? ['--json'] : [])] }
  }
  if (url === undefined) throw new UsageError('there is no URL')
  if (values['on-port'] !== command.length > 0) {
    throw new UsageError(
      values['on-port']
        ? '--on-port starts a server: write its command behind " -- "'
        : `one URL, not also ${command[0]}`,
    )
  }
  const mix = values.mix?.split(',').map((kind) => oneOf('mix', kind, kinds) as ImapOperation)
  const load: { -readonly [K in keyof LoadOptions]: LoadOptions[K] } = {
    url,
    mode: oneOf('mode', values.mode, modes) as LoadMode,
    proxy: oneOf('proxy', values.proxy, proxies) as ProxyVersion,
    starttls: values.starttls,
    reconnect: values.reconnect,
  }
  for (const name of numbers) {
    const text = values[name]
    if (text !== undefined) load[name] = number(name, text)
  }
  for (const name of ['clients', 'from', 'sender', 'recipient', 'mailbox'] as const) {
    const text = values[name]
    if (text !== undefined) load[name] = text
  }
  if (values['append-to'] !== undefined) load.appendTo = values['append-to']
  if (mix !== undefined) load.mix = mix
  if (values.script !== undefined) load.script = readScript(values.script)
  return {
    load,
    json: values.json,
    latency: values.latency,
    renderStatusCodes: values.renderStatusCodes,
    progress: !values['no-progress'],
    ...(values['on-port'] && { onPort: command }),
  }
}

const numbers = [
  'connections',
  'duration',
  'amount',
  'warmup',
  'pipelining',
  'workers',
  'overallRate',
  'timeout',
  'rounds',
  'pid',
  'size',
  'recipients',
  'users',
  'messages',
] as const

/** The bounds are told by what the number is for. */
function number(name: string, text: string): number {
  if (!/^\d+(?:\.\d+)?$/.test(text)) throw new UsageError(`${name} takes a number, not ${JSON.stringify(text)}`)
  return Number(text)
}

function oneOf(name: string, text: string, among: readonly string[]): string {
  if (!among.includes(text)) throw new UsageError(`${name} is one of ${among.join(', ')}, not ${JSON.stringify(text)}`)
  return text
}
