/*
 * CPU time of a server from outside, so that the same yardstick fits one that reports nothing of itself. Linux only:
 * `/proc/PID/task/TID/schedstat` begins with the nanoseconds a thread has run; `process.cpuUsage` of a child would need
 * its help, and the ticks of `/proc/PID/stat` are 10 ms.
 */
import { readdirSync, readFileSync } from 'node:fs'

/** Nanoseconds that a process and its children have run, in all their threads. A thread that ended is no longer in it. */
export function cpuNsOf(pid: number): number {
  let sum = 0
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    sum += runNs(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8'))
  }
  return childrenOf(pid).reduce((all, child) => all + cpuNsOf(child), sum)
}

/** The first of the three numbers of a `schedstat` file. */
export function runNs(schedstat: string): number {
  return Number(schedstat.slice(0, schedstat.indexOf(' ')))
}

function childrenOf(pid: number): readonly number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim()
  return text === '' ? [] : text.split(' ').map(Number)
}
