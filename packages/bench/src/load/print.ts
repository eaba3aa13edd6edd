import { printResult as printTables } from 'autocannon'
import type { Spread } from '../spread.ts'
import type { LoadResult } from './result.ts'

export interface PrintOptions {
  /** Every percentile. */
  readonly renderLatencyTable?: boolean
  /** Replies by code. */
  readonly renderStatusCodes?: boolean
  /** Colours are of the terminal that this is; none for anything else. */
  readonly outputStream?: NodeJS.WritableStream
}

/** The result as text: autocannon's tables, and what it cannot know. */
export function printResult(result: LoadResult, options: PrintOptions = {}): string {
  const { renderLatencyTable = false, renderStatusCodes = false, outputStream = process.stderr } = options
  // SMTP's codes fit into the table; it knows no others.
  const numeric = Object.fromEntries(
    Object.entries(result.statusCodeStats).filter(([code]) => /^[2-5]\d\d$/.test(code)),
  )
  const tables = printTables(
    {
      ...result,
      // Its last line counts what was sent; here it says what was done.
      requests: { ...result.requests, sent: result.requests.total },
      statusCodeStats: numeric,
      mismatches: 0,
      resets: 0,
      non2xx: 0,
    } as never,
    {
      outputStream: outputStream as NodeJS.WriteStream,
      renderLatencyTable,
      renderStatusCodes: renderStatusCodes && Object.keys(numeric).length > 0,
    } as never,
  )
  const named = tables
    // Padded to the width of the column, around what may be the end of a colour.
    .replace(/Req\/Sec([^ \w]*\[\d+m)?( +)/, (_, colour: string | undefined, padding: string) => {
      const title = `${result.shortUnit}/Sec`
      return `${title}${colour ?? ''}${padding.slice(title.length - 'Req/Sec'.length)}`
    })
    .replace('Req/Bytes counts', `${capital(result.unit)} and bytes`)
    .replace(' requests in ', ` ${result.unit} in `)
  return `${named}${details(result, renderStatusCodes)}`
}

function details(result: LoadResult, rendersCodes: boolean): string {
  const { server, generator, warnings, errors, spread } = result
  const lines: string[] = []
  const words = Object.entries(result.statusCodeStats).filter(([code]) => !/^[2-5]\d\d$/.test(code))
  if (rendersCodes && words.length > 0) {
    lines.push(`Replies: ${words.map(([code, { count }]) => `${code} ${count.toLocaleString('en')}`).join(', ')}`)
  }
  if (errors > 0) {
    lines.push(
      `Failed: ${result.refused} refused, ${result.resets} reset, ${result.timeouts} timed out, ` +
        `${result.failedConnections} without a connection`,
      ...result.examples.map((example) => `  ${example}`),
    )
  }
  if (spread !== undefined) {
    const { perSecond, p50, p99 } = spread
    lines.push(
      `${result.rounds!.length} rounds: ${perSecond.median.toFixed(0)} ${result.unit}/s (${range(perSecond, 0)}), ` +
        `p50 ${p50.median.toFixed(2)} ms (${range(p50, 2)}), p99 ${p99.median.toFixed(2)} ms (${range(p99, 2)})`,
    )
  }
  if (server !== undefined) {
    const each = server.memoryPerConnection
    lines.push(
      `Server: ${server.cpuUsPerOperation.toFixed(1)} µs CPU each of the ${result.unit}, ${server.cores.toFixed(2)} cores, ` +
        `${mebibytes(server.memory)} in ${server.processes} ${server.processes === 1 ? 'process' : 'processes'}` +
        (each === undefined ? '' : `, ${(each / 1_024).toFixed(1)} KiB for each connection`),
    )
  }
  const busiest = Math.max(...generator.utilization)
  lines.push(
    `Generator: ${generator.cpuUsPerOperation.toFixed(1)} µs CPU each, ${generator.threads} ${generator.threads === 1 ? 'thread' : 'threads'}, the busiest used ${(busiest * 100).toFixed(0)} % of a core`,
    `${result.setting.cores} × ${result.setting.cpu}, Node ${result.setting.node}, commit ${result.setting.commit}`,
    ...warnings.map((warning) => `Warning: ${warning}`),
  )
  return `${lines.join('\n')}\n`
}

function range({ min, max }: Spread, digits: number): string {
  return `${min.toFixed(digits)} to ${max.toFixed(digits)}`
}

function mebibytes(bytes: number): string {
  return `${(bytes / 1_024 / 1_024).toFixed(1)} MiB`
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1)
}
