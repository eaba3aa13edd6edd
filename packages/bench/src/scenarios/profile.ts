/*
 * Where a server spends its CPU: V8's own sampling profile of its process, while it is under load.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { bench } from '../load/bench.ts'
import type { LoadOptions } from '../load/options.ts'
import { posternDiscarding } from '../peers/contestants.ts'
import { startGateway } from '../peers/gateway.ts'

/** A function, or a part of the engine. */
export interface Hotspot {
  readonly where: string
  /** Of all samples but the idle ones, 0 to 1. */
  readonly share: number
}

export type Profiled = 'connect' | 'message' | 'connection-each'

const loads: Readonly<Record<Profiled, Omit<LoadOptions, 'url'>>> = {
  connect: { connections: 8, proxy: 'v2' },
  message: { mode: 'message', connections: 32 },
  'connection-each': { mode: 'message', connections: 32, reconnect: true },
}

const seconds = 2
/** Nobody reads more. */
const most = 15

/** Starts the server anew with the profiler on, loads it, and sums up what it did itself in each function. */
export async function profileOf(mode: Profiled): Promise<readonly Hotspot[]> {
  const folder = mkdtempSync(join(tmpdir(), 'postern-bench-profile-'))
  const before = process.env['NODE_OPTIONS']
  process.env['NODE_OPTIONS'] = `--cpu-prof --cpu-prof-dir=${folder}`
  try {
    const server = mode === 'connect' ? await gateway() : await posternDiscarding(1).start()
    await bench({ ...loads[mode], url: `smtp://127.0.0.1:${server.port}`, duration: seconds, warmup: 0.5 })
    await server.stop()
    // A supervisor and its worker write one each: the busier one is meant.
    const profiles = readdirSync(folder).map((name) => JSON.parse(readFileSync(join(folder, name), 'utf8')) as Profile)
    const all = profiles.map((profile) => selfSamples(profile))
    const busiest = all.toSorted((a, b) => total(b) - total(a))[0]
    if (busiest === undefined) throw new Error('the server wrote no profile')
    return hotspotsOf(busiest)
  } finally {
    if (before === undefined) delete process.env['NODE_OPTIONS']
    else process.env['NODE_OPTIONS'] = before
    rmSync(folder, { recursive: true })
  }
}

async function gateway(): Promise<{ readonly port: number; readonly stop: () => Promise<void> }> {
  const { proxied, stop } = await startGateway({ logLevel: 'info' })
  return { port: proxied, stop }
}

/** Of the Chrome DevTools protocol: what is read of it. */
interface Profile {
  readonly nodes: readonly {
    readonly id: number
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number }
  }[]
  readonly samples: readonly number[]
}

/** Samples by the function that was running. */
export function selfSamples({ nodes, samples }: Profile): ReadonlyMap<string, number> {
  const places = new Map(nodes.map(({ id, callFrame }) => [id, placeOf(callFrame)]))
  const counts = new Map<string, number>()
  for (const sample of samples) {
    const place = places.get(sample) ?? '(unknown)'
    if (place !== '(idle)') counts.set(place, (counts.get(place) ?? 0) + 1)
  }
  return counts
}

function placeOf({ functionName, url, lineNumber }: Profile['nodes'][number]['callFrame']): string {
  if (url === '') return functionName === '' ? '(anonymous)' : functionName
  const file = url.replace(/^file:\/\/.*\/(?:packages|node_modules)\//, '')
  return `${functionName === '' ? '(anonymous)' : functionName} ${file}:${lineNumber + 1}`
}

function hotspotsOf(counts: ReadonlyMap<string, number>): readonly Hotspot[] {
  const all = total(counts)
  return [...counts]
    .sort(([, a], [, b]) => b - a)
    .slice(0, most)
    .map(([where, count]) => ({ where, share: count / all }))
}

function total(counts: ReadonlyMap<string, number>): number {
  return counts.values().reduce((sum, count) => sum + count, 0)
}
