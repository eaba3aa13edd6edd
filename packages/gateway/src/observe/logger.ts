import { fstatSync } from 'node:fs'
import { isatty } from 'node:tty'
import { pino, type Logger } from 'pino'
import type { LogLevel } from '../config/schema.ts'
import { limits } from '../limits.ts'
import { parseLogLine, prettyLine } from './pretty.ts'

export type { Logger } from 'pino'

export interface LogSink {
  readonly logger: Logger
  /**
   * Writes what waits and closes the log, as the last thing before a process ends. Resolves also when it cannot be written:
   * a reader that is gone, or a full disk, must not keep a process from ending.
   */
  flush(): Promise<void>
}

/**
 * One JSON object a line on standard output; on a terminal a line for people. Lines are gathered, so that a busy worker
 * makes few system calls: each costs as much as ten lines. Each write is whole lines, into a pipe or socket of at most
 * PIPE_BUF bytes, so that the lines of several processes never mix.
 *
 * A reader that stopped must not stop mail: beyond a bound lines are dropped, counted, and the count is told later.
 */
export function openLog(level: LogLevel, fields: Readonly<Record<string, string | number>>): LogSink {
  const maxWrite = keepsWritesWhole(1) ? limits.maxLogWriteToFileBytes : limits.maxLogWriteBytes
  const destination = pino.destination({
    dest: 1,
    sync: false,
    // As many whole lines as one write takes.
    minLength: maxWrite - 1,
    maxWrite,
    maxLength: limits.maxWaitingLogBytes,
    periodicFlush: limits.logFlushMs,
  })
  const logger = pino(
    { level, base: fields, formatters: { level: (label) => ({ level: label }) } },
    isatty(1) ? forPeople(destination) : destination,
  )
  let dropped = 0
  destination.on('drop', () => {
    dropped++
  })
  destination.on('drain', () => {
    if (dropped === 0) return
    logger.warn({ event: 'log.dropped', lines: dropped }, 'the reader of the log was too slow')
    dropped = 0
  })
  // Nobody is left to tell: standard output is closed (EPIPE) or its disk is full. Mail goes on.
  destination.on('error', () => {})
  return {
    logger,
    // Not `flushSync`, which tries again for ever, whatever the error: pino calls it at exit unless nothing is left open.
    flush: () =>
      new Promise((resolve) => {
        const end = (): void => {
          clearTimeout(giveUp)
          destination.destroy()
          resolve()
        }
        const giveUp = setTimeout(end, 5 * limits.logFlushMs)
        destination.flush(end)
      }),
  }
}

/** A file takes a write of any length as one; a pipe or socket may let another process's in between. */
function keepsWritesWhole(descriptor: number): boolean {
  const stat = fstatSync(descriptor)
  return stat.isFile() || stat.isCharacterDevice()
}

/** A terminal shows a few lines a second, so that reading each once more costs nothing. */
function forPeople(destination: { write(text: string): unknown }): { write(line: string): void } {
  const hasColours = process.env['NO_COLOR'] === undefined
  return {
    write: (line) => {
      const record = parseLogLine(line)
      destination.write(record === undefined ? line : `${prettyLine(record, hasColours)}\n`)
    },
  }
}
