/*
 * Whether the admin endpoint answers while mail comes in: autocannon, which is made for HTTP, against it, alone and under
 * a load of mail.
 */
import autocannon from 'autocannon'
import { bench } from '../load/bench.ts'
import { startGateway } from '../peers/gateway.ts'
import { renderTable, setting, type Setting } from '../report.ts'
import { freePort } from '../server/launch.ts'

export interface AdminRow {
  readonly path: string
  readonly under: 'no load' | 'mail'
  readonly requestsPerSecond: number
  /** Whole milliseconds: autocannon counts no finer. */
  readonly p50Ms: number
  readonly p99Ms: number
  readonly maxMs: number
  readonly failed: number
}

export interface AdminReport {
  readonly setting: Setting
  readonly seconds: number
  readonly messagesPerSecond: number
  readonly rows: readonly AdminRow[]
}

/** Those that answer 200 are measured. */
const paths = ['/healthz', '/metrics'] as const

export async function runAdmin(seconds: number): Promise<AdminReport> {
  const port = await freePort()
  const server = await startGateway({ logLevel: 'info', extra: `[admin]\nbind = "127.0.0.1:${port}"\n` })
  try {
    const base = `http://127.0.0.1:${port}`
    const rows: AdminRow[] = []
    const served: string[] = []
    for (const path of paths) if ((await fetch(`${base}${path}`)).ok) served.push(path)
    for (const path of served) rows.push(await measure(`${base}${path}`, path, 'no load', seconds))
    const over = new AbortController()
    const mail = bench(
      { url: `smtp://127.0.0.1:${server.direct}`, mode: 'message', connections: 32, pipelining: 2, duration: 3_600 },
      { signal: over.signal },
    )
    for (const path of served) rows.push(await measure(`${base}${path}`, path, 'mail', seconds))
    over.abort()
    const { requests, duration } = await mail
    return { setting: setting(), seconds, messagesPerSecond: requests.total / duration, rows }
  } finally {
    await server.stop()
  }
}

export function renderAdmin({ setting: where, seconds, messagesPerSecond, rows }: AdminReport): string {
  return [
    `The admin endpoint, ${where.date}, commit ${where.commit}`,
    `Node ${where.node}, ${where.cores} × ${where.cpu}`,
    `autocannon, 10 connections, ${seconds} s each; the load is ${messagesPerSecond.toFixed(0)} messages a second into the Maildir\n`,
    renderTable([
      ['', 'requests/s', 'p50 ms', 'p99 ms', 'max ms', 'failed'],
      ...rows.map(({ path, under, requestsPerSecond, p50Ms, p99Ms, maxMs, failed }) => [
        `${path}, ${under}`,
        requestsPerSecond.toFixed(0),
        String(p50Ms),
        String(p99Ms),
        maxMs.toFixed(0),
        String(failed),
      ]),
    ]),
    '',
  ].join('\n')
}

async function measure(url: string, path: string, under: AdminRow['under'], seconds: number): Promise<AdminRow> {
  const { requests, latency, errors, non2xx } = await autocannon({ url, connections: 10, duration: seconds })
  return {
    path,
    under,
    requestsPerSecond: requests.average,
    p50Ms: latency.p50,
    p99Ms: latency.p99,
    maxMs: latency.max,
    failed: errors + non2xx,
  }
}
