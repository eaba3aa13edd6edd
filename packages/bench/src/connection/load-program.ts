/*
 * The load generator, in a process of its own: opens connections, sends a header first, and takes the time until the
 * whole greeting is there. A connection counts when the server has closed it too, so that nothing of it is left to do.
 */
import { connect } from 'node:net'

export interface Load {
  readonly port: number
  /** What goes out first, in hex; empty for none. */
  readonly header: string
  readonly connections: number
  /** How many of them at a time. */
  readonly atOnce: number
}

export type LoadOutcome =
  | { readonly latenciesUs: readonly number[]; readonly greeting: string }
  | { readonly failed: string }

async function run({ port, header, connections, atOnce }: Load): Promise<LoadOutcome> {
  const bytes = Buffer.from(header, 'hex')
  const latenciesUs: number[] = []
  let left = connections
  let greeting = ''
  const client = async (): Promise<void> => {
    while (left-- > 0) {
      const visited = await visit(port, bytes)
      latenciesUs.push(visited.us)
      greeting = visited.greeting
    }
  }
  try {
    await Promise.all(Array.from({ length: atOnce }, client))
    return { latenciesUs, greeting }
  } catch (error) {
    return { failed: `after ${latenciesUs.length} connections: ${String(error)}` }
  }
}

function visit(port: number, header: Buffer): Promise<{ readonly us: number; readonly greeting: string }> {
  return new Promise((resolve, reject) => {
    const start = process.hrtime.bigint()
    let us = 0
    let greeting = ''
    const socket = connect({ port, host: '127.0.0.1' })
    if (header.length > 0) socket.write(header)
    socket.on('data', (chunk: Buffer) => {
      greeting += chunk.toString('latin1')
      if (!greeting.endsWith('\n')) return
      us = Number(process.hrtime.bigint() - start) / 1_000
      socket.end()
    })
    socket.on('error', reject)
    socket.on('close', () => {
      if (greeting.startsWith('220 ')) resolve({ us, greeting })
      else reject(new Error(`no greeting, but ${JSON.stringify(greeting.slice(0, 200))}`))
    })
  })
}

process.on('message', (load: Load) => {
  void run(load).then((outcome) => process.send?.(outcome))
})
