/*
 * CPU and memory of a server from outside, so that the same yardstick fits one that reports nothing of itself. Linux only:
 * `/proc/PID/task/TID/schedstat` begins with the nanoseconds a thread has run; `process.cpuUsage` of a child would need
 * its help, and the ticks of `/proc/PID/stat` are 10 ms.
 */
import { readdirSync, readFileSync } from 'node:fs'

/** Linux shows all that is asked for here. */
export const canWatch: boolean = process.platform === 'linux'

/** A tick of `/proc/PID/stat`: `sysconf(_SC_CLK_TCK)` is 100 on every Linux. */
const tickNs = 10_000_000

/**
 * Nanoseconds that a process and its children have run, in all their threads; children that ended count from the moment
 * they were waited for, in ticks. A thread that ended in a process that lives is no longer in it.
 */
export function cpuNsOf(pid: number): number {
  return treeOf(pid).reduce((sum, each) => sum + ownCpuNs(each), 0)
}

/** A process and all below it, those that just ended left out. */
export function treeOf(pid: number): readonly number[] {
  const all = [pid]
  for (const each of all) all.push(...childrenOf(each))
  return all
}

/** Bytes of memory that belong to a process and its children; what several share is divided among them. */
export function memoryBytesOf(pid: number): number {
  return treeOf(pid).reduce((sum, each) => sum + pssBytes(readIfThere(`/proc/${each}/smaps_rollup`)), 0)
}

/** The first of the three numbers of a `schedstat` file. */
export function runNs(schedstat: string): number {
  return Number(schedstat.slice(0, schedstat.indexOf(' ')))
}

/** Of a `smaps_rollup` file. */
export function pssBytes(rollup: string): number {
  return 1_024 * Number(/^Pss:\s+(\d+) kB$/m.exec(rollup)?.[1] ?? 0)
}

/** CPU of children that ended and were waited for, of a `stat` file: its 16th and 17th field. */
export function reapedNs(stat: string): number {
  // The second field is a name in parentheses, and may hold anything.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return tickNs * (Number(fields[13] ?? 0) + Number(fields[14] ?? 0))
}

function ownCpuNs(pid: number): number {
  let sum = reapedNs(readIfThere(`/proc/${pid}/stat`))
  for (const thread of threadsOf(pid)) sum += runNs(readIfThere(`/proc/${pid}/task/${thread}/schedstat`))
  return sum
}

/** Each thread has the children that it made. */
function childrenOf(pid: number): readonly number[] {
  return threadsOf(pid).flatMap((thread) => {
    const text = readIfThere(`/proc/${pid}/task/${thread}/children`).trim()
    return text === '' ? [] : text.split(' ').map(Number)
  })
}

function threadsOf(pid: number): readonly string[] {
  try {
    return readdirSync(`/proc/${pid}/task`)
  } catch {
    return []
  }
}

/** Empty for a process that has just ended. */
function readIfThere(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}
