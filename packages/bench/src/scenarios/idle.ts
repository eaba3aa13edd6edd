/* The memory that a server needs for each of many connections that are open and do nothing. */
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

/** Opened and closed before, so that what the first connections cost once is not counted. */
const warmupConnections = 200

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
      const { server: cost, open } = await bench({ ...idle, connections, duration: 1 })
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
