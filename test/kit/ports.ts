import { createServer } from 'node:net'

// Below the range from which Linux takes the local ports of outgoing connections (32768 and up), so that no client of a
// test can sit on a port between its choice here and its use by a server.
const lowest = 20_000
const highest = 32_000

const given = new Set<number>()

/** Ports that were free on every address a moment ago; none is given twice by one process. */
export async function freePorts<Name extends string>(...names: readonly Name[]): Promise<Record<Name, number>> {
  const ports: Partial<Record<Name, number>> = {}
  for (const name of names) ports[name] = await freePort()
  return ports as Record<Name, number>
}

export async function freePort(): Promise<number> {
  for (;;) {
    const port = lowest + Math.floor(Math.random() * (highest - lowest))
    if (given.has(port) || !(await isFree(port))) continue
    given.add(port)
    return port
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => {
      resolve(false)
    })
    server.listen({ port, host: '0.0.0.0', exclusive: true }, () => {
      server.close(() => {
        resolve(true)
      })
    })
  })
}
