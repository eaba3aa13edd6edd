import { constants } from 'node:fs'
import { access, statfs } from 'node:fs/promises'
import type { Config } from '../config/schema.ts'
import type { RouteTable } from '../route/route-table.ts'
import type { BackendState } from '../upstream/backend-group.ts'

export interface Health {
  readonly status: 'ok' | 'unavailable'
  /** What is wrong, in words; empty when all is well. */
  readonly reasons: readonly string[]
  readonly workers: { readonly ready: number; readonly wanted: number }
  readonly connections: number
  /** Absent when the configuration has none. */
  readonly upstreams?: Readonly<Record<string, readonly BackendHealth[]>>
}

/** A backend, as its regular looks found it. */
export interface BackendHealth {
  readonly backend: string
  readonly state: 'up' | 'down'
  readonly seconds: number
  readonly reason?: string
}

export interface Vitals {
  readonly isLeaving: boolean
  readonly isStopping: boolean
  readonly workersReady: number
  readonly workersWanted: number
  readonly connections: number
  readonly dataDir: string
  readonly backends: readonly BackendState[]
  /** Listeners of which no backend is left. */
  readonly listenersDown: readonly string[]
}

/**
 * Whether a balancer should send us connections. A slot without a worker counts: the kernel goes on giving it its share
 * of new connections, which wait.
 */
export async function judgeHealth(vitals: Vitals): Promise<Health> {
  const { workersReady, workersWanted } = vitals
  const reasons: string[] = []
  if (vitals.isStopping) reasons.push('stopping')
  else if (vitals.isLeaving) reasons.push('leaving')
  if (workersReady < workersWanted) reasons.push(`${workersReady} of ${workersWanted} workers are ready`)
  const store = await storeTrouble(vitals.dataDir)
  if (store !== undefined) reasons.push(store)
  for (const name of vitals.listenersDown) reasons.push(`listener ${name}: every backend is down`)
  return {
    status: reasons.length === 0 ? 'ok' : 'unavailable',
    reasons,
    workers: { ready: workersReady, wanted: workersWanted },
    connections: vitals.connections,
    ...(vitals.backends.length === 0 ? {} : { upstreams: byUpstream(vitals.backends) }),
  }
}

/** Listeners of which no backend is left. */
export function listenersDown(
  { start, live }: Config,
  routes: RouteTable,
  backends: readonly BackendState[],
): readonly string[] {
  const isUp = new Set(backends.filter((state) => state.isUp).map((state) => state.upstream))
  return start.listeners
    .filter(({ name, protocol }) => {
      const upstreams = routes.dependsOn({ name, protocol }, live)
      return upstreams !== undefined && [...upstreams].every((upstream) => !isUp.has(upstream))
    })
    .map(({ name }) => name)
}

function byUpstream(states: readonly BackendState[]): Record<string, BackendHealth[]> {
  const upstreams: Record<string, BackendHealth[]> = {}
  for (const { upstream, backend, isUp, forMs, reason } of states) {
    const seconds = Math.round(forMs / 1000)
    const health: BackendHealth = {
      backend,
      state: isUp ? 'up' : 'down',
      seconds,
      ...(reason === undefined ? {} : { reason }),
    }
    ;(upstreams[upstream] ??= []).push(health)
  }
  return upstreams
}

async function storeTrouble(dataDir: string): Promise<string | undefined> {
  try {
    await access(dataDir, constants.W_OK)
    const { bavail } = await statfs(dataDir)
    return bavail === 0 ? 'the store has no free space' : undefined
  } catch (error) {
    return `the store cannot be written: ${(error as NodeJS.ErrnoException).code ?? 'unknown error'}`
  }
}
