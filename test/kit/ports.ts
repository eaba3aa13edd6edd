import { existsSync, readFileSync } from 'node:fs'
import { createServer, type Server } from 'node:net'

// Below the range from which the system takes the local ports of outgoing connections, so that no client of a test can sit
// on a port between its choice here and its use by a server. Where that range begins too low for that, anywhere.
const range = '/proc/sys/net/ipv4/ip_local_port_range'
const firstLocalPort = existsSync(range) ? Number.parseInt(readFileSync(range, 'utf8'), 10) : 32_768
const highest = firstLocalPort >= 16_000 ? Math.min(firstLocalPort, 32_000) : 32_000
const lowest = highest - 12_000
/** Each process chooses from blocks of so many, which are its own for as long as it listens on the first port of each. */
const blockPorts = 100

/** Of the block that is chosen from; the last one is the next. */
const left: number[] = []

/** Ports that are free on every address, and that no other process of the tests is given before this one has ended. */
export async function freePorts<Name extends string>(...names: readonly Name[]): Promise<Record<Name, number>> {
  const ports: Partial<Record<Name, number>> = {}
  for (const name of names) ports[name] = await freePort()
  return ports as Record<Name, number>
}

export async function freePort(): Promise<number> {
  for (;;) {
    const port = left.pop() ?? (await takeBlock())
    const server = await listening(port)
    if (server === undefined) continue
    await new Promise((resolve) => server.close(resolve))
    return port
  }
}

/** @returns the first of its ports to choose. */
async function takeBlock(): Promise<number> {
  for (;;) {
    const first = lowest + blockPorts * Math.floor((Math.random() * (highest - lowest)) / blockPorts)
    const holder = await listening(first)
    if (holder === undefined) continue
    holder.unref()
    for (let port = first + blockPorts - 1; port > first + 1; port -= 1) left.push(port)
    return first + 1
  }
}

/** Nothing, where somebody listens already. */
function listening(port: number): Promise<Server | undefined> {
  return new Promise((resolve) => {
    const server = createServer((socket) => socket.destroy())
    server.once('error', () => {
      resolve(undefined)
    })
    server.listen({ port, host: '0.0.0.0', exclusive: true }, () => {
      resolve(server)
    })
  })
}
