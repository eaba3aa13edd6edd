import { isUsageError } from '../command.ts'
import { parse } from '../commands/parse.ts'
import { bench } from '../load/bench.ts'
import { printResult } from '../load/print.ts'
import { startOnPort } from './on-port.ts'
import { parseCommandLine, usage, type CommandLine } from './arguments.ts'
import { progressBar } from './progress.ts'

/** What `postern-bench` does. @returns the exit status: 1 when something failed, 2 for a wrong command line. */
export async function main(args: readonly string[]): Promise<number> {
  try {
    const commandLine = parseCommandLine(args)
    if (commandLine === undefined) {
      process.stdout.write(usage)
      return 0
    }
    return 'parse' in commandLine ? await parse.run(commandLine.parse) : await run(commandLine)
  } catch (error) {
    if (!isUsageError(error)) throw error
    process.stderr.write(`postern-bench: ${error.message}\n\n${usage}`)
    return 2
  }
}

async function run({ load, json, latency, renderStatusCodes, progress, onPort }: CommandLine): Promise<number> {
  const interrupt = new AbortController()
  const onInterrupt = (): void => interrupt.abort()
  process.once('SIGINT', onInterrupt)
  const server = onPort && (await startOnPort(load.url, onPort))
  try {
    const bar = progressBar(process.stderr)
    const result = await bench(
      { ...load, ...(server && { url: server.url, pid: server.pid }) },
      { signal: interrupt.signal, ...(progress && { onProgress: bar.show }) },
    )
    bar.clear()
    if (json) process.stdout.write(`${JSON.stringify(result, undefined, 2)}\n`)
    else
      process.stdout.write(
        printResult(result, { renderLatencyTable: latency, renderStatusCodes, outputStream: process.stdout }),
      )
    return result.errors > 0 ? 1 : 0
  } finally {
    process.off('SIGINT', onInterrupt)
    await server?.stop()
  }
}
