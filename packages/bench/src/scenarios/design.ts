/*
 * What the project set out to reach, each with what was measured: as a ratio between programs in one run, and met or missed.
 */
import { measureConnections, type ConnectionRow } from '../connection/run-connection.ts'
import { measureParse, type ParseRow } from '../micro/run-parse.ts'
import { renderTable, setting, type Setting } from '../report.ts'
import type { Spread } from '../spread.ts'
import { ranged, ratioOf, rowFor, type Measurement } from './contest.ts'
import { profileOf, type Hotspot } from './profile.ts'
import { runSmtp, type SmtpReport } from './smtp.ts'

export interface Aim {
  readonly what: string
  readonly aim: string
  readonly measured: string
  /** The ratio that says it without the machine, if there is one. */
  readonly ratio: string
  readonly isMet: boolean
}

export interface DesignReport {
  readonly setting: Setting
  readonly aims: readonly Aim[]
  /** Where the CPU goes of the servers whose aims were missed. */
  readonly profiles: readonly { readonly what: string; readonly hotspots: readonly Hotspot[] }[]
}

export interface DesignOptions {
  readonly isQuick: boolean
  readonly onProgress: (text: string) => void
}

/** Measures everything that an aim is about. */
export async function runDesign({ isQuick, onProgress }: DesignOptions): Promise<DesignReport> {
  onProgress('PROXY headers')
  const parse = await measureParse(isQuick ? { rounds: 9, roundMs: 10 } : { rounds: 15, roundMs: 20 })
  onProgress('connections')
  const connections = await measureConnections({
    rounds: isQuick ? 5 : 11,
    connections: isQuick ? 400 : 1_000,
    atOnce: 8,
    cargo: 'nothing',
  })
  const smtp = await runSmtp({
    rounds: isQuick ? 3 : 5,
    seconds: isQuick ? 1 : 2,
    warmupSeconds: 0.3,
    connections: 32,
    workers: [1],
    only: ['postern, discarding', 'smtp-server', 'smtp-sink'],
    idleConnections: 5_000,
    onProgress,
  })
  const aims = [...parseAims(parse), ...connectionAims(connections), ...smtpAims(smtp)]
  const profiles: { what: string; hotspots: readonly Hotspot[] }[] = []
  for (const [what, mode, words] of profiled) {
    if (!aims.some((aim) => !aim.isMet && words.some((word) => aim.what.includes(word)))) continue
    onProgress(`profile: ${what}`)
    profiles.push({ what, hotspots: await profileOf(mode) })
  }
  return { setting: setting(), aims, profiles }
}

const profiled = [
  ['a connection that is greeted by the gateway', 'connect', ['accept, header, greeting', 'share of']],
  ['messages of 2 KB on kept connections, @postern/smtp', 'message', ['2 KB messages', '64 KB messages']],
  ['a connection for each message, @postern/smtp', 'connection-each', ['a connection per message']],
] as const

export function renderDesign({ setting: where, aims, profiles }: DesignReport): string {
  return [
    `The aims of the design, ${where.date}, commit ${where.commit}`,
    `Node ${where.node}, ${where.cores} × ${where.cpu}\n`,
    renderTable([
      ['what', 'aim', 'measured', 'ratio', ''],
      ...aims.map(({ what, aim, measured, ratio, isMet }) => [what, aim, measured, ratio, isMet ? 'met' : 'MISSED']),
    ]),
    '',
    ...profiles.map(
      ({ what, hotspots }) =>
        `${renderTable([
          [`Where the CPU of ${what} goes`, 'share'],
          ...hotspots.map(({ where: place, share }) => [`  ${place}`, `${(100 * share).toFixed(1)} %`]),
        ])}\n`,
    ),
    'Nanoseconds are of this machine; the ratio is to the floor written by hand, or to the other server in the same round.\n',
  ].join('\n')
}

export function parseAims(rows: readonly ParseRow[]): readonly Aim[] {
  const row = (group: string, name: string): ParseRow => {
    const found = rows.find((each) => each.group.startsWith(group) && each.name.startsWith(name))
    if (found === undefined) throw new Error(`there is no row ${group}: ${name}`)
    return found
  }
  const floor = row('v2 TCP4, 28 bytes', 'floor')
  return [
    parseAim('decode a v2 TCP4 header to a view', row('v2 TCP4, 28 bytes', 'core: read'), 15, 0, floor),
    parseAim('v2 with three TLVs, walked', row('v2 TCP4 with three TLVs', 'core'), 25, 0),
    parseAim('v1 TCP4 line', row('v1 TCP4 line', 'core: read'), 120),
    parseAim('CRC32C of 100 bytes', row('CRC32C', 'core'), 85),
    parseAim('trust lookup, 1,000 networks, IPv4', row('trust lookup', 'core: IPv4'), 30),
    parseAim('trust lookup, 1,000 networks, IPv6', row('trust lookup', 'core: IPv6'), 80),
  ]
}

function parseAim(what: string, one: ParseRow, mostNs: number, mostBytes?: number, against?: ParseRow): Aim {
  return {
    what,
    aim: `≤ ${mostNs} ns${mostBytes === undefined ? '' : `, ${mostBytes} bytes`}`,
    measured: `${ranged(one.ns, 1)} ns, ${one.bytes.toFixed(1)} bytes`,
    ratio: against === undefined ? '' : `${(one.ns.median / against.ns.median).toFixed(2)} × the floor`,
    // What is counted by the whole engine is never exactly nothing.
    isMet: one.ns.median <= mostNs && (mostBytes === undefined || one.bytes < mostBytes + 1),
  }
}

export function connectionAims(rows: readonly ConnectionRow[]): readonly Aim[] {
  const gateway = rows.find(({ server, header }) => server.startsWith('Postern gateway') && header === 'v2 TCP4')
  if (gateway === undefined) throw new Error('the gateway was not measured')
  const { headerShare, headerUs, timesBare, cpuUs } = gateway
  return [
    {
      what: 'header, trust and identity as a share of a connection’s server CPU',
      aim: '≤ 5 %',
      measured: `${headerUs.median.toFixed(1)} of ${cpuUs.median.toFixed(1)} µs`,
      ratio: `${(100 * headerShare.median).toFixed(1)} % (${(100 * headerShare.min).toFixed(1)}–${(100 * headerShare.max).toFixed(1)})`,
      isMet: headerShare.median <= 0.05,
    },
    {
      what: 'accept, header, greeting: server CPU against a bare Node server',
      aim: '≤ 1.25 ×',
      measured: `${ranged(cpuUs, 1)} µs`,
      ratio: `${ranged(timesBare, 2)} ×`,
      isMet: timesBare.median <= 1.25,
    },
  ]
}

export function smtpAims({ rows, idle }: Pick<SmtpReport, 'rows' | 'idle'>): readonly Aim[] {
  const aim = (what: string, workload: string, peer: string, least: number): Aim => {
    const ours = rowFor(rows, workload, 'postern, discarding')
    const theirs = rowFor(rows, workload, peer)
    if (ours === undefined) throw new Error(`${workload} was not measured`)
    if (theirs === undefined) {
      const measured = `${ours.perSecond.median.toFixed(0)}/s`
      return { what, aim: `≥ ${least} × ${peer}`, measured, ratio: `${peer} is not installed`, isMet: false }
    }
    const rate = ratioOf(ours, theirs, ({ perSecond }: Measurement) => perSecond)
    const cpu: Spread = ratioOf(theirs, ours, ({ cpuUs }: Measurement) => cpuUs)
    return {
      what,
      aim: `≥ ${least} × ${peer}`,
      measured: `${ours.perSecond.median.toFixed(0)} against ${theirs.perSecond.median.toFixed(0)}/s`,
      ratio: `${ranged(rate, 2)} × a second, ${ranged(cpu, 2)} × by CPU`,
      isMet: rate.median >= least,
    }
  }
  const held = idle.find(({ contestant }) => contestant === 'postern, discarding')
  return [
    aim('SMTP in, 2 KB messages, kept open', '2 KB, kept open', 'smtp-server', 2),
    aim('SMTP in, 2 KB messages, kept open, pipelined', '2 KB, kept open, pipelined', 'smtp-server', 2),
    aim('SMTP in, 64 KB messages', '64 KB, kept open', 'smtp-sink', 1),
    aim('SMTP in, a connection per message', '2 KB, a connection each', 'smtp-server', 2.5),
    {
      what: 'memory of an idle connection',
      aim: '≤ 8 KiB',
      measured: held === undefined ? 'not measured' : `${(held.bytesPerConnection / 1_024).toFixed(1)} KiB`,
      ratio: idle
        .filter(({ contestant }) => contestant !== 'postern, discarding')
        .map(({ contestant, bytesPerConnection }) => `${contestant} ${(bytesPerConnection / 1_024).toFixed(1)} KiB`)
        .join(', '),
      isMet: held !== undefined && held.bytesPerConnection <= 8 * 1_024,
    },
  ]
}
