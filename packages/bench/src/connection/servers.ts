/*
 * The servers that are measured beside the gateway, each a process of its own: a bare one, and the same behind core's front.
 */
import { launchProgram, type Launched } from '../server/launch.ts'

/** One server process, or one and its workers. */
export type Server = Ports & Launched

/** Where no header may come, and where one must. */
interface Ports {
  readonly direct: number
  readonly proxied: number
}

export function startBare(greeting: string): Promise<Server> {
  return startProgram('bare-program.js', [greeting])
}

/** The rule of the front is that of a server, not of a port: two of them, where the gateway has two listeners. */
export function startFront(greeting: string, mode: 'off' | 'require'): Promise<Server> {
  return startProgram('bare-program.js', [greeting, mode])
}

function startProgram(name: string, args: readonly string[]): Promise<Server> {
  return launchProgram<Ports>(new URL(name, import.meta.url), args)
}
