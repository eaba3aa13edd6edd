/*
 * The load generator: threads that drive connections, and this one, which tells them when to begin and to end, samples
 * what they do, and looks at the server's processes meanwhile.
 */
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { decodeFromCompressedBase64, type Histogram } from 'hdr-histogram-js'
import { setting } from '../report.ts'
import { isThisMachine, listenersOn } from '../server/listener.ts'
import { canWatch, cpuNsOf, memoryBytesOf, treeOf } from '../server/process-tree.ts'
import type { ClientReport, Share } from './client.ts'
import type { Step } from './client-program.ts'
import { planLoad, type LoadOptions, type LoadPlan } from './options.ts'
import { nameOfCode } from './replies.ts'
import {
  distributionOf,
  errorsOf,
  latencyOf,
  spreadOf,
  type GeneratorCost,
  type LoadResult,
  type LoadRound,
  type ServerCost,
} from './result.ts'
import { emptyLatencies, liveCount, newLiveCounts, type Failures, type LiveCounts } from './tally.ts'
import { workOf } from './work.ts'

/** What is told while a load runs. */
export interface Progress {
  /** 0 to 1. */
  readonly part: number
  readonly operations: number
  readonly perSecond: number
  readonly errors: number
  readonly unit: string
}

export interface BenchHooks {
  /** Called a few times a second. */
  readonly onProgress?: (progress: Progress) => void
  /** Ends the measuring early; what was done until then is the result. */
  readonly signal?: AbortSignal
}

/** Above this, a thread is at the limit of its core: a Node thread never uses all of one. */
const bottleneckUtilization = 0.92
const progressEveryMs = 200
/** A thread that does not answer for that long beyond what was asked has hung. */
const patienceMs = 60_000

/**
 * Loads a mail server, and measures it.
 *
 * Nothing of what fails is counted as done. The server's CPU and memory are told when it is a process of this machine.
 *
 * @throws `UsageError` for options that make no sense; any other error is one of this generator. A server that answers
 * wrongly, or not at all, is told in the result.
 */
export async function bench(options: LoadOptions, hooks: BenchHooks = {}): Promise<LoadResult> {
  const plan = planLoad(options)
  const rounds: Round[] = []
  const start = new Date()
  for (let i = 0; i < plan.rounds && hooks.signal?.aborted !== true; i++) {
    rounds.push(
      await runRound(plan, {
        ...hooks,
        ...(hooks.onProgress && {
          onProgress: (progress) => hooks.onProgress?.({ ...progress, part: (i + progress.part) / plan.rounds }),
        }),
      }),
    )
  }
  return resultOf(plan, rounds, start)
}

/** One measuring, from new threads to their reports. */
interface Round {
  readonly reports: readonly ClientReport[]
  readonly seconds: number
  readonly sampleMs: number
  /** Operations and octets of each sample, a second. */
  readonly samples: readonly (readonly [operations: number, bytes: number])[]
  /** Successes between the two looks at the server's CPU. */
  readonly watched: number
  readonly server?: ServerCost
}

async function runRound(plan: LoadPlan, hooks: BenchHooks): Promise<Round> {
  const pids = pidsOf(plan)
  const live = Array.from({ length: plan.workers }, newLiveCounts)
  const threads = startThreads(plan, live)
  try {
    const memoryBefore = memoryOf(pids)
    await tell(threads, 'open')
    if (plan.warmupMs > 0 && plan.mode !== 'idle') {
      await tell(threads, 'start')
      await pause(plan.warmupMs, hooks.signal)
    }

    const cpuBefore = cpuOf(pids)
    const doneBefore = sum(live, liveCount.done)
    const startedAt = performance.now()
    const sampler = new Sampler(live, plan, hooks)
    const measured = tell(threads, 'measure')
    if (plan.amount === undefined) {
      await measured
      await pause(plan.durationMs, hooks.signal)
    } else {
      await Promise.race([measured, aborted(hooks.signal)])
    }
    const ms = performance.now() - startedAt
    const cpuMs = (cpuOf(pids) - cpuBefore) / 1e6
    const watched = sum(live, liveCount.done) - doneBefore
    const memoryAfter = memoryOf(pids)
    sampler.end()
    const reports = await Promise.all(threads.map((thread) => reportOf(thread)))

    const server: ServerCost | undefined =
      pids.length === 0
        ? undefined
        : {
            pids,
            processes: pids.reduce((all, pid) => all + treeOf(pid).length, 0),
            cpuMs,
            cores: cpuMs / ms,
            cpuUsPerOperation: watched === 0 ? 0 : (cpuMs * 1_000) / watched,
            memoryBefore,
            memory: memoryAfter,
            ...(plan.mode === 'idle' && { memoryPerConnection: (memoryAfter - memoryBefore) / plan.connections }),
          }
    return {
      reports,
      seconds: ms / 1_000,
      sampleMs: sampler.everyMs,
      samples: sampler.samples,
      watched,
      ...(server && { server }),
    }
  } finally {
    await Promise.all(threads.map((thread) => thread.terminate()))
  }
}

/** Counts of threads, looked at every so often. */
class Sampler {
  readonly everyMs: number
  readonly samples: (readonly [operations: number, bytes: number])[] = []
  readonly #timers: readonly NodeJS.Timeout[]

  constructor(live: readonly LiveCounts[], plan: LoadPlan, hooks: BenchHooks) {
    // A short run has a handful of samples too.
    this.everyMs = plan.amount === undefined && plan.durationMs < 5_000 ? 250 : 1_000
    const startedAt = performance.now()
    const done = sum(live, liveCount.done)
    const failed = sum(live, liveCount.failed)
    let last = { at: startedAt, done, bytes: sum(live, liveCount.bytes) }
    const sample = setInterval(() => {
      const now = { at: performance.now(), done: sum(live, liveCount.done), bytes: sum(live, liveCount.bytes) }
      const seconds = (now.at - last.at) / 1_000
      this.samples.push([(now.done - last.done) / seconds, (now.bytes - last.bytes) / seconds])
      last = now
    }, this.everyMs)
    const show = setInterval(() => {
      const ms = performance.now() - startedAt
      const operations = sum(live, liveCount.done) - done
      hooks.onProgress?.({
        part: Math.min(1, plan.amount === undefined ? ms / plan.durationMs : operations / plan.amount),
        operations,
        perSecond: operations / (ms / 1_000),
        errors: sum(live, liveCount.failed) - failed,
        unit: workOf(plan).unit,
      })
    }, progressEveryMs)
    this.#timers = [sample, show]
  }

  end(): void {
    for (const timer of this.#timers) clearInterval(timer)
  }
}

function startThreads(plan: LoadPlan, live: readonly LiveCounts[]): readonly Worker[] {
  const part = (total: number, i: number): number =>
    Math.floor(total / plan.workers) + (i < total % plan.workers ? 1 : 0)
  return live.map((counts, i) => {
    const share: Share = {
      plan,
      connections: part(plan.connections, i),
      amount: plan.amount === undefined ? undefined : part(plan.amount, i),
      ratePerSecond: plan.ratePerSecond === undefined ? undefined : plan.ratePerSecond / plan.workers,
      firstSerial: i,
      serialStep: plan.workers,
      live: counts,
    }
    // Run from the source, as the tests do, the program is TypeScript; else what was compiled.
    const program = new URL(
      import.meta.url.endsWith('.ts') ? 'client-program.ts' : 'client-program.js',
      import.meta.url,
    )
    return new Worker(program, { workerData: share })
  })
}

/** Resolves when every thread has done its step. */
async function tell(threads: readonly Worker[], step: Exclude<Step, 'stop'>): Promise<void> {
  await Promise.all(threads.map((thread) => answer(thread, step)))
}

async function reportOf(thread: Worker): Promise<ClientReport> {
  return (await answer(thread, 'stop', patienceMs)) as ClientReport
}

/** A thread says the name of a step that it has done, and its report at the end; one may still be owed when it is stopped. */
async function answer(thread: Worker, step: Step, withinMs?: number): Promise<unknown> {
  const { promise, resolve, reject } = Promise.withResolvers<unknown>()
  const onMessage = (message: unknown): void => {
    if (step === 'stop' ? typeof message === 'object' : message === step) resolve(message)
  }
  const onExit = (status: number): void => reject(new Error(`a thread of the generator ended with status ${status}`))
  const late =
    withinMs === undefined
      ? undefined
      : setTimeout(() => reject(new Error('a thread of the generator does not answer')), withinMs)
  thread.on('message', onMessage)
  thread.on('exit', onExit)
  thread.on('error', reject)
  thread.postMessage(step)
  try {
    return await promise
  } finally {
    clearTimeout(late)
    thread.off('message', onMessage)
    thread.off('exit', onExit)
    thread.off('error', reject)
  }
}

async function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  await delay(ms, undefined, signal && { signal }).catch(() => {})
}

async function aborted(signal: AbortSignal | undefined): Promise<void> {
  if (signal === undefined) await new Promise(() => {})
  else if (!signal.aborted) await once(signal, 'abort')
}

function pidsOf({ pid, target }: LoadPlan): readonly number[] {
  if (!canWatch) return []
  if (pid !== undefined) return [pid]
  // In this very process it would count the generator.
  return isThisMachine(target.host) ? listenersOn(target.port).filter((each) => each !== process.pid) : []
}

function cpuOf(pids: readonly number[]): number {
  return pids.reduce((all, pid) => all + cpuNsOf(pid), 0)
}

function memoryOf(pids: readonly number[]): number {
  return pids.reduce((all, pid) => all + memoryBytesOf(pid), 0)
}

function sum(live: readonly LiveCounts[], which: number): number {
  return live.reduce((all, counts) => all + counts[which]!, 0)
}

function resultOf(plan: LoadPlan, rounds: readonly Round[], start: Date): LoadResult {
  const { unit, shortUnit } = workOf(plan)
  const reports = rounds.flatMap((round) => round.reports)
  const failures = failuresOf(reports)
  const seconds = rounds.reduce((all, round) => all + round.seconds, 0)
  const samples = rounds.flatMap((round) => round.samples)
  const done = reports.reduce((all, each) => all + each.done, 0)
  const bytes = reports.reduce((all, each) => all + each.bytes, 0)
  const rates = samples.length > 0 ? samples : [[done / seconds, bytes / seconds] as const]
  const generator = generatorOf(plan, rounds)
  const told = rounds.map(roundOf)
  const server = rounds.at(-1)?.server
  const totals = serverTotals(rounds)
  return {
    title: `${plan.mode} ${plan.target.protocol}`,
    url: urlOf(plan),
    mode: plan.mode,
    unit,
    shortUnit,
    connections: plan.connections,
    workers: plan.workers,
    pipelining: plan.isPipelined ? 2 : 1,
    proxy: plan.proxy,
    ...(plan.ratePerSecond !== undefined && { overallRate: plan.ratePerSecond }),
    setting: setting(),
    start: start.toISOString(),
    finish: new Date().toISOString(),
    duration: Math.round(seconds * 100) / 100,
    sampleInt: rounds[0]?.sampleMs ?? 1_000,
    samples: samples.length,
    latency: latencyOf(mergedLatencies(reports)),
    requests: {
      ...distributionOf(rates.map(([operations]) => operations)),
      total: done,
      sent: done + errorsOf(failures),
    },
    throughput: { ...distributionOf(rates.map(([, each]) => each)), total: bytes },
    errors: errorsOf(failures),
    timeouts: failures.timeouts,
    resets: failures.resets,
    refused: failures.refused,
    failedConnections: failures.connect,
    examples: reports.flatMap(({ examples }) => examples).slice(0, 5),
    backlog: reports.reduce((all, each) => all + each.backlog, 0),
    open: rounds.at(-1)?.reports.reduce((all, each) => all + each.open, 0) ?? 0,
    statusCodeStats: statusCodesOf(reports),
    ...(server && { server: { ...server, ...totals } }),
    generator,
    warnings: warningsOf(plan, generator, reports),
    ...(plan.rounds > 1 && { rounds: told, spread: spreadOf(told) }),
  }
}

function roundOf(round: Round): LoadRound {
  const { p50, p99 } = latencyOf(mergedLatencies(round.reports))
  const operations = round.reports.reduce((all, each) => all + each.done, 0)
  return {
    operations,
    perSecond: operations / round.seconds,
    p50: p50!,
    p99: p99!,
    errors: errorsOf(failuresOf(round.reports)),
    ...(round.server && { serverCpuUsPerOperation: round.server.cpuUsPerOperation }),
  }
}

/** CPU over all rounds; memory is that of the last. */
function serverTotals(rounds: readonly Round[]): Pick<ServerCost, 'cpuMs' | 'cores' | 'cpuUsPerOperation'> {
  const cpuMs = rounds.reduce((all, { server }) => all + (server?.cpuMs ?? 0), 0)
  const watched = rounds.reduce((all, round) => all + round.watched, 0)
  const seconds = rounds.reduce((all, round) => all + round.seconds, 0)
  return { cpuMs, cores: cpuMs / 1_000 / seconds, cpuUsPerOperation: watched === 0 ? 0 : (cpuMs * 1_000) / watched }
}

function generatorOf(plan: LoadPlan, rounds: readonly Round[]): GeneratorCost {
  const utilization = Array.from({ length: plan.workers }, (_, i) => {
    const own = rounds.map(({ reports }) => reports[i]!)
    const spentUs = own.reduce((all, each) => all + each.cpuUs, 0)
    const ms = own.reduce((all, each) => all + each.ms, 0)
    return Math.round((spentUs / 1_000 / ms) * 1_000) / 1_000
  })
  const reports = rounds.flatMap((round) => round.reports)
  const cpuUs = reports.reduce((all, each) => all + each.cpuUs, 0)
  const done = reports.reduce((all, each) => all + each.done, 0)
  return {
    threads: plan.workers,
    cpuUsPerOperation: done === 0 ? 0 : cpuUs / done,
    utilization,
    isBottleneck: utilization.some((each) => each >= bottleneckUtilization),
  }
}

function warningsOf(plan: LoadPlan, generator: GeneratorCost, reports: readonly ClientReport[]): readonly string[] {
  const warnings: string[] = []
  if (generator.isBottleneck) {
    warnings.push(
      'The generator was at the limit of a core: what was measured may be the generator. ' +
        'More threads (-w) show whether it was; the CPU of the server tells the truth all the same.',
    )
  }
  const backlog = reports.reduce((all, each) => all + each.backlog, 0)
  if (backlog > 0) {
    warnings.push(`The rate of ${plan.ratePerSecond}/s was not kept up with: ${backlog} were due and never begun.`)
  }
  const failed = errorsOf(failuresOf(reports))
  const done = reports.reduce((all, each) => all + each.done, 0)
  if (failed > 0) warnings.push(`${failed} of ${failed + done} failed; latencies are those of the others.`)
  return warnings
}

function failuresOf(reports: readonly ClientReport[]): Failures {
  const all: Failures = { connect: 0, resets: 0, timeouts: 0, refused: 0 }
  for (const { failures } of reports) {
    all.connect += failures.connect
    all.resets += failures.resets
    all.timeouts += failures.timeouts
    all.refused += failures.refused
  }
  return all
}

function mergedLatencies(reports: readonly ClientReport[]): Histogram {
  const all = emptyLatencies()
  for (const { latencies } of reports) all.add(decodeFromCompressedBase64(latencies))
  return all
}

function statusCodesOf(reports: readonly ClientReport[]): LoadResult['statusCodeStats'] {
  const counts = new Map<number, number>()
  for (const [code, count] of reports.flatMap(({ replies }) => replies)) {
    counts.set(code, (counts.get(code) ?? 0) + count)
  }
  return Object.fromEntries([...counts].sort(([a], [b]) => a - b).map(([code, count]) => [nameOfCode(code), { count }]))
}

/** Without who signs in. */
function urlOf({ target }: LoadPlan): string {
  const scheme = target.tls === 'implicit' ? `${target.protocol}s` : target.protocol
  const host = target.host.includes(':') ? `[${target.host}]` : target.host
  return `${scheme}://${host}:${target.port}`
}
