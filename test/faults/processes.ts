import { readdirSync, readFileSync } from 'node:fs'
import type { Gateway } from '../kit/gateway.ts'

/** `proc(5)`, bytes. */
export function residentBytesOf(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) * 1024
}

/** Memory that all workers have now, bytes. */
export function residentBytes({ workers }: Pick<Gateway, 'workers'>): number {
  return workers().reduce((sum, pid) => sum + residentBytesOf(pid), 0)
}

/** Descriptors that a process has open. */
export function descriptorsOf(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length
}

/** Descriptors that all workers have open. */
export function descriptors({ workers }: Pick<Gateway, 'workers'>): number {
  return workers().reduce((sum, pid) => sum + descriptorsOf(pid), 0)
}
