/* Two network namespaces with a cable between them, for what no proxy can do to a connection: packets that are lost. */
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { within } from '../kit/patience.ts'
import { isRoot } from '../kit/root.ts'
import { start } from '../kit/run.ts'

export interface TwoMachines {
  /** What runs a program on the near one, where the gateway is, and on the far one. */
  readonly near: readonly string[]
  readonly far: readonly string[]
  /** The near one, as the tests reach it. */
  readonly host: string
  /** Resolves when the cable does so. */
  readonly cable: (does: 'whole' | 'cut' | 'bad') => Promise<void>
  readonly remove: () => void
}

/** Why there can be none here; nothing where there can. What is tried is what containers and small kernels deny, each alone. */
export function whyNoMachines(): string | undefined {
  if (!isRoot) return 'it needs root'
  const name = `pn${process.pid}`
  const probe = `${name}x`
  try {
    closeSync(openSync('/dev/net/tun', 'r+'))
    ip('netns', 'add', probe)
    ip('-n', probe, 'link', 'set', 'lo', 'up')
    ip('link', 'add', `${name}y`, 'type', 'veth', 'peer', 'name', `${name}z`, 'netns', probe)
    ip('netns', 'exec', probe, 'sh', '-c', 'cat /proc/sys/net/ipv4/tcp_retries2 >> /proc/sys/net/ipv4/tcp_retries2')
    return undefined
  } catch (error) {
    return (error as Error).message.trim()
  } finally {
    // A pair goes with either of its ends.
    spawnSync('ip', ['link', 'delete', `${name}y`])
    spawnSync('ip', ['netns', 'delete', probe])
  }
}

export async function startTwoMachines(): Promise<TwoMachines> {
  const { piece, name, outer, inner } = claimPiece()
  const [near, far] = [`${name}n`, `${name}f`]
  const [here, host] = [`198.51.100.${4 * piece + 1}`, `198.51.100.${4 * piece + 2}`]
  const remove = (): void => {
    // The pair goes with the near one, and the claim with it: that is the last.
    for (const namespace of [far, near]) spawnSync('ip', ['netns', 'delete', namespace])
    spawnSync('ip', ['link', 'delete', outer])
  }
  // Also when the tests are ended by a signal.
  process.once('exit', remove)
  for (const namespace of [near, far]) {
    ip('netns', 'add', namespace)
    ip('-n', namespace, 'link', 'set', 'lo', 'up')
  }
  ip('link', 'set', inner, 'netns', near)
  ip('address', 'add', `${here}/30`, 'dev', outer)
  ip('link', 'set', outer, 'up')
  ip('-n', near, 'address', 'add', `${host}/30`, 'dev', inner)
  ip('-n', near, 'link', 'set', inner, 'up')

  const program = fileURLToPath(new URL('link.py', import.meta.url))
  const link = start('python3', [program, near, far, `${name}c`])
  let errors = ''
  link.stderr?.on('data', (chunk: Buffer) => (errors += chunk.toString()))
  const lines = createInterface({ input: link.stdout! })
  const told = (): Promise<unknown> => within(30_000, () => `the cable; ${errors}`, once(lines, 'line'))
  await told()
  return {
    near: ['ip', 'netns', 'exec', near],
    far: ['ip', 'netns', 'exec', far],
    host,
    cable: async (does) => {
      const done = told()
      link.stdin?.write(`${does}\n`)
      await done
    },
    remove: () => {
      process.off('exit', remove)
      link.kill('SIGKILL')
      remove()
    },
  }
}

interface Claim {
  /** Which four addresses of 198.51.100.0/24. */
  readonly piece: number
  /** Of all that belongs to it. */
  readonly name: string
  /** The ends of the pair by which it is claimed. */
  readonly outer: string
  readonly inner: string
}

/** A piece that no other run on this machine has: a link of a name that is there cannot be made again. */
function claimPiece(): Claim {
  for (let tries = 0; tries < 64; tries++) {
    const piece = (process.pid + tries) % 64
    const name = `pn${piece}`
    const [outer, inner] = [`${name}o`, `${name}i`]
    try {
      ip('link', 'add', outer, 'type', 'veth', 'peer', 'name', inner)
      return { piece, name, outer, inner }
    } catch (error) {
      if (!/File exists/.test((error as Error).message)) throw error
    }
  }
  throw new Error('all addresses are taken; `ip link` shows by whom, and what ended runs have left')
}

function ip(...args: readonly string[]): void {
  const { status, error, stderr } = spawnSync('ip', args, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`ip ${args.join(' ')}: ${error?.message ?? stderr}`)
}
