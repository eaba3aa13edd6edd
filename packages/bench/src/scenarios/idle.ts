/* The memory that a server needs for each of many connections that are open and do nothing. */
import { setTimeout as pause } from 'node:timers/promises'
import { bench } from '../load/bench.ts'
import type { LoadOptions } from '../load/options.ts'
import type { Contestant, Running } from '../peers/contestants.ts'
import { renderTable } from '../report.ts'

export interface IdleRow {
  readonly contestant: string
  readonly connections: number
  readonly bytesPerConnection: number
}

export interface IdleOptions {
  readonly connections: number
  readonly load: (server: Running) => Pick<LoadOptions, 'url'> & Partial<LoadOptions>
  readonly onProgress?: ((text: string) => void) | undefined
}

/**
 * Opened and closed before, so that what work costs a process once is not counted: compiled code, and the room that a heap
 * keeps for what is made and thrown away.
 */
const warmupConnections = 1_000
/** Until memory is looked at, before and after: V8 gives back what it needed on the way some seconds after its last work. */
const settleSeconds = 10

/** Each in a new process. More workers hold as many connections in more processes, from which nothing is learnt. */
export async function idleMemory(
  contestants: readonly Contestant[],
  { connections, load, onProgress }: IdleOptions,
): Promise<readonly IdleRow[]> {
  const rows: IdleRow[] = []
  const single = contestants.filter(({ name, missing }) => missing === undefined && !name.includes('workers'))
  for (const { name, start } of single) {
    onProgress?.(`${connections} idle connections: ${name}`)
    const server = await start()
    try {
      const idle = { ...load(server), mode: 'idle', pid: server.pid, timeout: 60 } as const
      await bench({ ...idle, connections: Math.min(warmupConnections, connections), duration: 0.5 })
      await pause(settleSeconds * 1_000)
      const { server: cost, open } = await bench({ ...idle, connections, duration: settleSeconds })
      if (open !== connections) throw new Error(`${name} held ${open} of ${connections} connections`)
      rows.push({ contestant: name, connections: open, bytesPerConnection: cost?.memoryPerConnection ?? Number.NaN })
    } finally {
      await server.stop()
    }
  }
  return rows
}

export function renderIdle(what: string, rows: readonly IdleRow[]): string {
  return renderTable([
    [`${rows[0]?.connections} ${what}`, 'KiB each'],
    ...rows.map(({ contestant, bytesPerConnection }) => [`  ${contestant}`, (bytesPerConnection / 1_024).toFixed(1)]),
  ])
}
