import { Command } from 'commander'
import type { ListenerStatus, Status } from '../admin/status.ts'
import type { Peer } from '../observe/incidents.ts'
import { AdminClient, withAdminOptions, type AdminOptions } from './admin-client.ts'
import { exitStatus } from './exit-status.ts'
import { print, type Terminal } from './terminal.ts'

export function statusCommand(terminal: Terminal, finish: (status: number) => void): Command {
  return withAdminOptions(
    new Command('status')
      .summary('tell how the running gateway is')
      .description(
        'Tells how the running gateway is: its listeners, workers and upstreams, why connections have the addresses they have, who was refused last, and what to do about it.',
      ),
  )
    .option('--json', 'all of it, as the admin endpoint tells it')
    .addHelpText('after', '\nExit status: 0 when it is well, 1 when a balancer should not send it connections.')
    .action(async (options: StatusOptions) => finish(await status(terminal, options)))
}

interface StatusOptions extends AdminOptions {
  readonly json?: boolean
}

async function status(terminal: Terminal, options: StatusOptions): Promise<number> {
  const client = await AdminClient.find(terminal, options)
  const state = (await client.get('/status')) as Status
  await print(terminal.stdout, options.json === true ? `${JSON.stringify(state)}\n` : statusText(state))
  return state.health.status === 'ok' ? exitStatus.ok : exitStatus.wrong
}

/** For people: what is wrong stands first and last, where the eye is. */
export function statusText(state: Status): string {
  const { hostname, version, seconds, health, totals, identity } = state
  return [
    `${hostname}: Postern ${version}, up ${duration(seconds)}, ${health.status}`,
    ...health.reasons.map((reason) => `  ${reason}`),
    `connections: ${totals.open} open, ${totals.accepted} since the start`,
    `transactions: ${words(totals.transactions)}; sign-ins: ${words(totals.authentications)}; TLS: ${words(totals.tls)}`,
    '',
    'listeners',
    ...state.listeners.map(listenerText),
    '',
    'workers',
    ...state.workers.map(
      ({ slot, worker, pid, state: how, connections, seconds: age }) =>
        `  slot ${slot}: worker ${worker}, pid ${pid}, ${how}, ${connections} connections, up ${duration(age)}`,
    ),
    ...upstreamsText(state),
    ...acmeText(state),
    '',
    'why this address?',
    `  PROXY headers for clients: ${words(identity.proxied, 'of version ')}; of balancers for themselves: ${identity.health}`,
    `  refused over a header or the lack of one: ${words(totals.headersRefused)}`,
    ...peersText('not trusted', identity.untrustedSenders),
    ...peersText('trusted, and silent', identity.silentPeers),
    ...refusalsText(state),
    '',
  ].join('\n')
}

function listenerText(listener: ListenerStatus): string {
  const { name, protocol, addresses, tlsMode, proxyMode, open, accepted } = listener
  const where = addresses.join(', ')
  return `  ${name}: ${protocol} on ${where}; TLS ${tlsMode}; PROXY header ${proxyMode}; ${open} open of ${accepted}`
}

function upstreamsText({ health }: Status): readonly string[] {
  const upstreams = Object.entries(health.upstreams ?? {})
  if (upstreams.length === 0) return []
  const lines = upstreams.flatMap(([name, backends]) =>
    backends.map(({ backend, state, seconds, reason }) => {
      const why = reason === undefined ? '' : `: ${reason}`
      return `  ${name}: ${backend} is ${state} for ${duration(seconds)}${why}`
    }),
  )
  return ['', 'upstreams', ...lines]
}

function acmeText({ acme, at }: Status): readonly string[] {
  if (acme === undefined) return []
  const { names, state, endsAt, nextAt, failure } = acme
  const until = (time: number): string => duration(Math.max(0, Math.round((time - at) / 1000)))
  const has = endsAt === undefined ? 'no certificate yet' : `a certificate for ${until(endsAt)} more`
  const next = state === 'ordering' ? 'an order is under way' : `the next order is due in ${until(nextAt)}`
  const lines = [`  ${names.join(', ')}: ${has}; ${next}`]
  if (failure !== undefined) lines.push(`  failed ${failure.inARow} times: ${failure.cause}: ${failure.mend}`)
  return ['', 'certificates by ACME', ...lines]
}

function peersText(what: string, peers: readonly Peer[]): readonly string[] {
  return peers.slice(0, shown).map(({ count, mend }) => `  ${what}, ${count} times: ${mend}`)
}

function refusalsText({ refusals, at }: Status): readonly string[] {
  if (refusals.length === 0) return []
  const lines = refusals.slice(0, shown).map((refusal) => {
    const who = refusal.client ?? `balancer ${refusal.proxy ?? 'unknown'}`
    const ago = duration(Math.max(0, Math.round((at - refusal.at) / 1000)))
    return `  ${ago} ago, ${refusal.listener}, ${who}, ${refusal.reason}${refusal.mend === undefined ? '' : `: ${refusal.mend}`}`
  })
  return ['', 'refused last', ...lines]
}

const shown = 10

function words(counts: Readonly<Record<string, number>>, of = ''): string {
  const parts = Object.entries(counts).map(([name, count]) => `${count} ${of}${name}`)
  return parts.length === 0 ? 'none' : parts.join(', ')
}

function duration(seconds: number): string {
  if (seconds < 120) return `${seconds} s`
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`
  return seconds < 172_800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86_400)} d`
}
