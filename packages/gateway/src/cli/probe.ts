import { encodeProxyHeader, formatEndpoint, parseIpAddress, type Endpoint, type TlsMode } from '@postern/core'
import { Command, InvalidArgumentError, Option } from 'commander'
import { parseBindAddress } from '../config/bind-address.ts'
import { formatDuration, parseDuration } from '../config/units.ts'
import { printable } from '../observe/text.ts'
import { exitStatus } from './exit-status.ts'
import { ProbeConnection, ProbeFailure } from './probe-connection.ts'
import { probeImap, probeSmtp, type Seen } from './probe-dialogue.ts'
import { CommandFailure, print, type Terminal } from './terminal.ts'

interface ProbeOptions {
  readonly proxy?: 'v1' | 'v2'
  readonly from: Endpoint
  readonly tls: TlsMode
  readonly timeout: number
}

export function probeCommand(terminal: Terminal, finish: (status: number) => void): Command {
  return new Command('probe')
    .summary('play the balancer before a server')
    .description('Connects as a balancer would, sends a PROXY header, greets, and tells what the server saw.')
    .argument('<protocol>', 'smtp or imap', parseProtocol)
    .argument('<host:port>', 'as in 127.0.0.1:2526 or [::1]:143', parseTarget)
    .addOption(new Option('--proxy <version>', 'the header to send; none without this').choices(['v1', 'v2']))
    .addOption(
      new Option('--from <ip:port>', 'the client that the header names')
        .argParser(parseClient)
        .default(exampleClient, formatEndpoint(exampleClient)),
    )
    .addOption(new Option('--tls <mode>', 'when TLS starts').choices(['off', 'starttls', 'implicit']).default('off'))
    .addOption(
      new Option('--timeout <duration>', 'the longest wait for each step')
        .argParser(parseTimeout)
        .default(10_000, formatDuration(10_000)),
    )
    .addHelpText(
      'after',
      '\nExit status: 0 when the server greeted (and, with --proxy, took us for nobody else), 1 when it refused, 69 when nobody answered.',
    )
    .action(async (protocol: 'smtp' | 'imap', target: Target, options: ProbeOptions) =>
      finish(await probe(terminal, protocol, target, options)),
    )
}

interface Target {
  readonly host: string
  readonly port: number
}

async function probe(
  terminal: Terminal,
  protocol: 'smtp' | 'imap',
  target: Target,
  options: ProbeOptions,
): Promise<number> {
  const tell = (mark: string, text: string): Promise<void> =>
    print(terminal.stdout, `${mark} ${printable(text, 1_000)}\n`)
  if (options.proxy === undefined && options.from !== exampleClient) {
    throw new CommandFailure(exitStatus.usage, '--from goes into the PROXY header: give --proxy v1 or --proxy v2 too')
  }
  let connection: ProbeConnection | undefined
  try {
    connection = await ProbeConnection.open(target.host, target.port, options.timeout)
    const { localAddress, localPort, remoteAddress } = connection
    await tell('*', `connected from ${localAddress}:${localPort} to ${remoteAddress}:${target.port}`)
    if (options.proxy !== undefined) await sendHeader(connection, target.port, options, tell)
    const run = protocol === 'smtp' ? probeSmtp : probeImap
    const seen = await run({ connection, tls: options.tls, serverName: target.host, tell })
    return await conclude(terminal, { protocol, seen, localAddress }, options)
  } catch (error) {
    if (!(error instanceof ProbeFailure)) throw error
    await print(terminal.stdout, `failed: ${error.message}${mendFor(error, options)}\n`)
    return error.kind === 'unreachable' || error.kind === 'silent' ? exitStatus.unreachable : exitStatus.wrong
  } finally {
    connection?.close()
  }
}

async function sendHeader(
  connection: ProbeConnection,
  port: number,
  { proxy, from }: ProbeOptions,
  tell: (mark: string, text: string) => Promise<void>,
): Promise<void> {
  const address = parseIpAddress(connection.remoteAddress)
  if (address === undefined) throw new ProbeFailure('closed', 'the server closed the connection')
  const ends = { command: 'proxy', source: from, destination: { address, port } } as const
  const encoded = encodeProxyHeader(proxy === 'v1' ? { version: 1, ...ends } : { version: 2, ...ends })
  if (!encoded.ok) throw new CommandFailure(exitStatus.usage, encoded.detail)
  connection.write(encoded.bytes)
  await tell('>', `PROXY header ${proxy}, ${encoded.bytes.length} bytes: client ${formatEndpoint(from)}`)
}

async function conclude(
  terminal: Terminal,
  met: { readonly protocol: string; readonly seen: Seen; readonly localAddress: string },
  { proxy, from }: ProbeOptions,
): Promise<number> {
  const names = (address: string): boolean =>
    met.seen.some((text) => parseIpAddress(text)?.toString() === parseIpAddress(address)?.toString())
  const client = from.address.toString()
  const say = (text: string): Promise<void> => print(terminal.stdout, `${text}\n`)
  if (proxy !== undefined && names(client)) {
    await say(`the server took us for ${client}: it honours the header`)
  } else if (proxy !== undefined && names(met.localAddress)) {
    await say(
      `the server took us for ${met.localAddress}, not for ${client}: it swallowed the header without believing it`,
    )
    return exitStatus.wrong
  } else if (names(met.localAddress)) {
    await say(`the server took us for ${met.localAddress}, who we are`)
  } else {
    await say(
      `the server greeted, and does not say whom it took us for: its log does${proxy === undefined ? '' : `, look for ${client}`}`,
    )
  }
  return exitStatus.ok
}

/** What the failure usually means, for one who set a balancer up an hour ago. */
function mendFor({ kind }: ProbeFailure, { proxy, tls }: ProbeOptions): string {
  if (kind === 'silent' && proxy === undefined) return '; perhaps it waits for a PROXY header: try --proxy v2'
  if (kind === 'silent' && tls === 'off') return '; perhaps it waits for a TLS handshake: try --tls implicit'
  if (kind === 'closed' && proxy !== undefined) return '; perhaps this machine is in none of its trusted networks'
  if (kind === 'closed' && tls === 'off') {
    return '; perhaps it takes only connections with a PROXY header, or with TLS from the first byte: try --proxy v2, or --tls implicit'
  }
  if (kind === 'closed') return '; perhaps it takes only connections with a PROXY header: try --proxy v2'
  if (kind === 'tls') return '; perhaps TLS does not start there: try another --tls'
  return ''
}

// ── arguments ───────────────────────────────────────────────────────────────

/** RFC 5737: an address for examples, which no real client has. */
const exampleClient: Endpoint = clientAt('203.0.113.7', 45_678)

function parseProtocol(text: string): 'smtp' | 'imap' {
  if (text === 'smtp' || text === 'imap') return text
  throw new InvalidArgumentError('It is smtp or imap.')
}

/** Names are allowed here, since a probe goes where a client would go. */
function parseTarget(text: string): Target {
  const [, bracketed, plain, digits] = /^(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+)):([0-9]{1,5})$/.exec(text) ?? []
  const host = bracketed ?? plain
  const port = Number(digits)
  if (host !== undefined && port >= 1 && port <= 65_535) return { host, port }
  throw new InvalidArgumentError('It is a host and a port, as in 127.0.0.1:2526 or [::1]:143.')
}

function parseClient(text: string): Endpoint {
  const written = parseBindAddress(text)
  if (written?.port !== undefined) return clientAt(written.host, written.port)
  throw new InvalidArgumentError('It is an address and a port, as in 203.0.113.7:45678 or [2001:db8::7]:45678.')
}

function parseTimeout(text: string): number {
  const ms = parseDuration(text)
  if (ms !== undefined && ms <= maxTimeoutMs) return ms
  throw new InvalidArgumentError('It is a duration up to 10m, as in 5s.')
}

const maxTimeoutMs = 600_000

function clientAt(text: string, port: number): Endpoint {
  const address = parseIpAddress(text)
  if (address === undefined) throw new TypeError(`${text} is no address`)
  return { address, port }
}
