import { constants } from 'node:fs'
import { access, statfs } from 'node:fs/promises'

export interface Health {
  readonly status: 'ok' | 'unavailable'
  /** What is wrong, in words; empty when all is well. */
  readonly reasons: readonly string[]
  readonly workers: { readonly ready: number; readonly wanted: number }
  readonly connections: number
}

export interface Vitals {
  readonly isStopping: boolean
  readonly workersReady: number
  readonly workersWanted: number
  readonly connections: number
  readonly dataDir: string
}

/**
 * Whether a balancer should send us connections. A slot without a worker counts: the kernel goes on giving it its share
 * of new connections, which wait.
 */
export async function judgeHealth(vitals: Vitals): Promise<Health> {
  const { workersReady, workersWanted } = vitals
  const reasons: string[] = []
  if (vitals.isStopping) reasons.push('stopping')
  if (workersReady < workersWanted) reasons.push(`${workersReady} of ${workersWanted} workers are ready`)
  const store = await storeTrouble(vitals.dataDir)
  if (store !== undefined) reasons.push(store)
  return {
    status: reasons.length === 0 ? 'ok' : 'unavailable',
    reasons,
    workers: { ready: workersReady, wanted: workersWanted },
    connections: vitals.connections,
  }
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
