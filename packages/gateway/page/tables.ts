/* What each table of the page has in its rows. */
import type { ListenerStatus, Refusal, Sessions, Status, WorkerStatus } from '@postern/gateway'
import { numberCell, textCell, type Cell } from './dom.ts'
import { bytes, clock, count, duration, percent, rate, sum } from './format.ts'

type Row = readonly Cell[]

export function listenerRow(listener: ListenerStatus, perSecond: number | undefined): Row {
  const { name, protocol, tlsMode, addresses, proxyMode, trustedNetworks, headers } = listener
  const trust = trustedNetworks.join(', ')
  return [
    textCell(name, 'name'),
    textCell(tlsMode === 'off' ? protocol : `${protocol}, ${tlsMode === 'starttls' ? 'STARTTLS' : 'TLS'}`),
    textCell(addresses.join(', ')),
    { text: proxyMode === 'off' ? 'off' : `${proxyMode} from ${cut(trust)}`, hint: trust },
    numberCell(listener.open, count),
    numberCell(perSecond, rate),
    numberCell(listener.accepted, count),
    numberCell(listener.bytesIn, bytes),
    numberCell(listener.bytesOut, bytes),
    numberCell(headers['1'] ?? 0, count),
    numberCell(headers['2'] ?? 0, count),
    { ...numberCell(sum(listener.headersRefused), count, 'warn'), hint: words(listener.headersRefused) },
    { ...numberCell(sum(listener.refused), count), hint: words(listener.refused) },
    numberCell(listener.authentications['denied'] ?? 0, count),
    numberCell(listener.handshakesFailed, count),
  ]
}

export function upstreamRows({ upstreams = {} }: Status['health']): readonly Row[] {
  return Object.entries(upstreams).flatMap(([name, backends]) =>
    backends.map(({ backend, state, seconds, reason }): Row => [
      textCell(name, 'name'),
      textCell(backend),
      textCell(state, state === 'up' ? 'good' : 'bad'),
      numberCell(seconds, duration),
      textCell(reason, 'words'),
    ]),
  )
}

export function workerRow(worker: WorkerStatus): Row {
  const { eventLoopUtilization: busy, eventLoopDelayMs: late, state } = worker
  return [
    { text: String(worker.slot), kind: 'number' },
    { text: String(worker.worker), kind: 'number' },
    { text: String(worker.pid), kind: 'number' },
    textCell(state, state === 'ready' ? 'good' : 'warn'),
    numberCell(worker.seconds, duration),
    numberCell(worker.connections, count),
    numberCell(busy, percent, busy !== undefined && busy > 0.9 ? 'warn' : ''),
    numberCell(late, (ms) => `${ms.toFixed(1)} ms`, late !== undefined && late > 100 ? 'warn' : ''),
    numberCell(worker.residentBytes, bytes),
    numberCell(worker.passwordChecksWaiting, count, 'warn'),
  ]
}

export function refusalRow(refusal: Refusal): Row {
  return [
    { text: clock(refusal.at), hint: new Date(refusal.at).toISOString() },
    textCell(refusal.listener),
    textCell(refusal.client, 'code'),
    textCell(refusal.proxy, 'code'),
    { text: refusal.reason, hint: `${refusal.event} ${refusal.id}` },
    textCell(refusal.mend, 'words'),
  ]
}

export function peerRows({ untrustedSenders, silentPeers }: Status['identity']): readonly Row[] {
  const rows = [
    ...untrustedSenders.map((peer) => ({ peer, does: 'is not trusted' })),
    ...silentPeers.map((peer) => ({ peer, does: 'is trusted, and sends no header' })),
  ].toSorted((a, b) => b.peer.lastAt - a.peer.lastAt)
  return rows.map(({ peer, does }) => [
    textCell(peer.peer, 'code'),
    textCell(peer.listener),
    textCell(does, 'warn'),
    numberCell(peer.count, count),
    { text: clock(peer.lastAt), hint: new Date(peer.lastAt).toISOString() },
    textCell(peer.mend, 'words'),
  ])
}

export function sessionRow(session: Sessions['sessions'][number]): Row {
  const { client, clientPort, proxy, via, tls } = session
  return [
    textCell(client === undefined ? 'not known yet' : `${client} port ${clientPort ?? '?'}`, 'code'),
    textCell(proxy, 'code'),
    textCell(via),
    textCell(session.listener),
    textCell(tls ?? 'none', tls === undefined ? 'zero' : ''),
    textCell(session.username),
    numberCell(session.commands, count),
    numberCell(session.seconds, duration),
    textCell(session.id, 'code'),
  ]
}

export function clientRow({ client, connections }: Sessions['topClients'][number]): Row {
  return [textCell(client, 'code'), numberCell(connections, count)]
}

/** `rate 3, listed 1`, the most frequent first. */
export function words(counts: Readonly<Record<string, number>>): string {
  return Object.entries(counts)
    .filter(([, many]) => many > 0)
    .toSorted((a, b) => b[1] - a[1])
    .map(([reason, many]) => `${reason} ${count(many)}`)
    .join(', ')
}

function cut(text: string): string {
  return text.length > 44 ? `${text.slice(0, 43)}…` : text
}
