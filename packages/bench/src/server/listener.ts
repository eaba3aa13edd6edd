/*
 * Which process of this machine listens on a port. Linux only: the kernel's table of sockets names an inode for each, and
 * `/proc/PID/fd` who holds it.
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { canWatch } from './process-tree.ts'

const loopbackNames: ReadonlySet<string> = new Set(['localhost', '::1', '0.0.0.0', '::'])

/** Whether a host name is certainly this machine. Any other may be, but is not watched. */
export function isThisMachine(host: string): boolean {
  return loopbackNames.has(host) || /^127(?:\.\d{1,3}){3}$/.test(host)
}

/**
 * The processes that hold a listening socket on a port and whose parent does not: a supervisor, and not its workers.
 * Empty when nobody does, or when it may not be seen.
 */
export function listenersOn(port: number): readonly number[] {
  if (!canWatch) return []
  const inodes = new Set(
    ['/proc/net/tcp', '/proc/net/tcp6'].flatMap((file) => listeningInodes(readIfThere(file), port)),
  )
  if (inodes.size === 0) return []
  const holders = processes().filter((pid) => holds(pid, inodes))
  return holders.filter((pid) => !holders.includes(parentOf(pid)))
}

/** Ports that a process, or one below it, listens on. */
export function portsOf(pids: readonly number[]): readonly number[] {
  const all = ['/proc/net/tcp', '/proc/net/tcp6'].flatMap((file) => listening(readIfThere(file)))
  const ports = all.filter(({ inode }) => pids.some((pid) => holds(pid, new Set([inode])))).map(({ port }) => port)
  return [...new Set(ports)].sort((a, b) => a - b)
}

interface Listening {
  readonly port: number
  readonly inode: string
}

/** The inodes of listening sockets on a port, of the text of `/proc/net/tcp`. */
export function listeningInodes(table: string, port: number): readonly string[] {
  return listening(table)
    .filter((each) => each.port === port)
    .map(({ inode }) => inode)
}

function listening(table: string): readonly Listening[] {
  return table
    .split('\n')
    .slice(1)
    .map((line) => line.trim().split(/\s+/))
    .filter((fields) => fields[3] === '0A')
    .map((fields) => ({ port: Number.parseInt(fields[1]?.split(':')[1] ?? '', 16), inode: fields[9] ?? '' }))
}

function holds(pid: number, inodes: ReadonlySet<string>): boolean {
  try {
    return readdirSync(`/proc/${pid}/fd`).some((fd) => inodes.has(inodeOf(`/proc/${pid}/fd/${fd}`)))
  } catch {
    return false
  }
}

function inodeOf(link: string): string {
  try {
    return /^socket:\[(\d+)\]$/.exec(readlinkSync(link))?.[1] ?? ''
  } catch {
    return ''
  }
}

function parentOf(pid: number): number {
  const stat = readIfThere(`/proc/${pid}/stat`)
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1] ?? 0)
}

function processes(): readonly number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
}

function readIfThere(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}
