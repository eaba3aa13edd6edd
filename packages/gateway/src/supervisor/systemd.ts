/*
 * What systemd and a service say to each other: sockets that it has bound already (sd_listen_fds(3)), and how the service
 * is (sd_notify(3)). Node has no datagram sockets of the Unix kind, so the word is carried by systemd's own command.
 */
import { execFile } from 'node:child_process'
import { readFileSync, readlinkSync } from 'node:fs'
import { formatBindAddress, parseBindAddress } from '../config/bind-address.ts'
import type { BindAddress } from '../config/schema.ts'
import { heldListener, inheritedSocket, type HeldListener, type ListenerAddress } from './held-sockets.ts'

/** SD_LISTEN_FDS_START */
const firstPassedFd = 3

/**
 * The sockets that systemd bound for us, each with the listener that has its address. A socket serves all slots: it was
 * not made by this user, so no other can be bound beside it.
 *
 * @throws when one is of no listener: somebody would wait in it for ever.
 */
export function passedSockets(
  addresses: readonly ListenerAddress[],
  slots: number,
  environment: NodeJS.ProcessEnv = process.env,
): readonly HeldListener[] {
  const { LISTEN_PID: pid, LISTEN_FDS: count } = environment
  // They are meant for the process of this number, and for none that it starts.
  for (const name of ['LISTEN_PID', 'LISTEN_FDS', 'LISTEN_FDNAMES', 'LISTEN_PIDFDID']) delete environment[name]
  if (pid !== String(process.pid)) return []
  return Array.from({ length: Number(count) }, (_, index) => {
    const fd = firstPassedFd + index
    const at = boundAddress(fd)
    const of = addresses.find(({ bind }) => bind.host === at?.host && bind.port === at.port)
    if (at === undefined || of === undefined) {
      const where = at === undefined ? 'that is no TCP socket' : `for ${formatBindAddress(at)}`
      throw new Error(`systemd passed a socket ${where}, which is the \`bind\` of no listener`)
    }
    const { listener, bind } = of
    const ipv6Only = at.host === '::'
    return heldListener({ listener, bind, ...at, ipv6Only, isShared: true, sockets: [inheritedSocket(fd)] }, slots)
  })
}

/** proc(5): a descriptor names the inode of its socket, and the tables of the kernel its address. */
function boundAddress(fd: number): BindAddress | undefined {
  const inode = /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/self/fd/${fd}`))?.[1]
  for (const table of ['tcp', 'tcp6']) {
    const row = readFileSync(`/proc/self/net/${table}`, 'utf8')
      .split('\n')
      .map((line) => line.trim().split(/\s+/))
      .find((cells) => cells[9] === inode)
    const [address = '', port = ''] = row?.[1]?.split(':') ?? []
    if (row !== undefined) return { host: hostOf(address), port: Number.parseInt(port, 16) }
  }
  return undefined
}

/** The kernel writes addresses as words of 32 bits, each in the order of bytes of the machine. */
export function hostOf(words: string): string {
  const bytes = Buffer.from(words, 'hex')
  if (isLittleEndian) bytes.swap32()
  if (bytes.length === 4) return bytes.join('.')
  const groups = Array.from({ length: 8 }, (_, index) => bytes.readUInt16BE(2 * index).toString(16))
  return parseBindAddress(`[${groups.join(':')}]`)?.host ?? ''
}

const isLittleEndian = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1

/** Tells systemd, where it listens; elsewhere this is nothing. */
export function notifySystemd(...assignments: readonly string[]): void {
  if (process.env['NOTIFY_SOCKET'] === undefined) return
  // When the command is missing there is nobody to tell, and the service goes on.
  execFile('systemd-notify', [`--pid=${process.pid}`, ...assignments], () => {})
}
