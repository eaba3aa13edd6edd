import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { expect } from 'vitest'
import type { Gateway } from '../kit/gateway.ts'
import { eventually, within } from '../kit/patience.ts'
import { start } from '../kit/run.ts'
import { tellFigure, tellWaits } from './figure.ts'
import { descriptors, residentBytes } from './processes.ts'

const mib = 2 ** 20
/** How long an ordinary client may wait for its greeting, whatever another one does. */
const patienceMs = 1000
const attempts = 3
/** A visit before the attack, and one behind it, at each port. */
const visitsAround = 2

export interface Target {
  readonly gateway: Gateway
  /** Both take an ordinary client through the balancer 127.0.0.1. */
  readonly smtpPort: number
  readonly imapPort: number
}

export interface Attack {
  /** Resolves when it was carried out; what it resolves to lets go of what it holds. */
  readonly run: () => Promise<() => Promise<void> | void>
  /** More memory than this in all workers together, while the attack holds what it holds, is too much. */
  readonly maxGrownBytes?: number
}

export interface Endured {
  readonly visits: number
  readonly p99Ms: number
  readonly slowestMs: number
  readonly grownBytes: number
}

/**
 * Attacks while an ordinary client comes again and again. What every attack is judged by: the client is greeted within a
 * second each time, no worker dies, memory stays below its bound, and behind it all descriptors are given back.
 *
 * The one slow greeting of a machine that was busy elsewhere is no proof: over the second, the attack is made again. What is
 * slow in each of three attacks is slow by the attack.
 */
export async function underAttack(target: Target, attack: Attack): Promise<Endured> {
  let endured = await endure(target, attack)
  for (let made = 1; made < attempts && endured.slowestMs > patienceMs; made += 1)
    endured = await endure(target, attack)
  const { visits, p99Ms, slowestMs, grownBytes } = endured
  tellWaits({ visits, p99Ms: rounded(p99Ms), slowestMs: rounded(slowestMs), grownMib: rounded(grownBytes / mib) })
  tellFigure(
    `${visits} visits, greeted in ${p99Ms.toFixed(0)} ms at the 99th percentile, the slowest in ${slowestMs.toFixed(0)} ms; ` +
      `${(grownBytes / mib).toFixed(1)} MiB more memory`,
  )
  expect(slowestMs).toBeLessThan(patienceMs)
  if (attack.maxGrownBytes !== undefined) expect(grownBytes).toBeLessThan(attack.maxGrownBytes)
  return endured
}

async function endure({ gateway, smtpPort, imapPort }: Target, { run }: Attack): Promise<Endured> {
  const workers = gateway.workers().join(' ')
  const calm = descriptors(gateway)
  const visitor = startVisitor(smtpPort, imapPort)
  try {
    await visitor.more(visitsAround)
    const before = residentBytes(gateway)
    const end = await run()
    await visitor.more(visitsAround)
    const grownBytes = residentBytes(gateway) - before
    await end()
    await visitor.more(visitsAround)
    const { waits, failures } = await visitor.stop()
    expect(failures).toEqual([])
    expect(gateway.workers().join(' ')).toBe(workers)
    // Two for a visit that was cut off by our own end.
    await eventually(
      'the descriptors to be given back',
      () => (descriptors(gateway) <= calm + 2 ? true : undefined),
      30_000,
    )
    const sorted = waits.toSorted((a, b) => a - b)
    const p99Ms = sorted[Math.ceil(sorted.length * 0.99) - 1] ?? 0
    return { visits: waits.length, p99Ms, slowestMs: sorted.at(-1) ?? 0, grownBytes }
  } finally {
    await visitor.stop()
  }
}

function rounded(value: number): number {
  return Math.round(value * 10) / 10
}

interface Visitor {
  /** Resolves when so many more visits have ended. */
  readonly more: (count: number) => Promise<void>
  readonly stop: () => Promise<{ readonly waits: readonly number[]; readonly failures: readonly string[] }>
}

function startVisitor(smtpPort: number, imapPort: number): Visitor {
  const program = fileURLToPath(new URL('visitor.ts', import.meta.url))
  const child = start(process.execPath, [program, `${smtpPort}`, `${imapPort}`])
  const waits: number[] = []
  const failures: string[] = []
  let wake: (() => void) | undefined
  if (child.stdout === null) throw new Error('a child has an output')
  createInterface(child.stdout).on('line', (line) => {
    const { ms, failed } = JSON.parse(line) as { readonly ms: number; readonly failed?: string }
    waits.push(ms)
    if (failed !== undefined) failures.push(failed)
    wake?.()
  })
  const more = async (count: number): Promise<void> => {
    const goal = waits.length + count
    while (waits.length < goal) {
      await within(60_000, 'the ordinary client', new Promise<void>((resolve) => (wake = resolve)))
    }
  }
  const stop = (): Promise<{ waits: number[]; failures: string[] }> => {
    child.kill('SIGKILL')
    return Promise.resolve({ waits, failures })
  }
  return { more, stop }
}
