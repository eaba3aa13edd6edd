import { createReadStream } from 'node:fs'
import { resolve } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { Command } from 'commander'
import { reasonOf } from '../config/read-file.ts'
import { parseLogLine, prettyLine, type LogRecord } from '../observe/pretty.ts'
import { exitStatus } from './exit-status.ts'
import { CommandFailure, print, type Terminal } from './terminal.ts'

export function logsCommand(terminal: Terminal, finish: (status: number) => void): Command {
  return new Command('logs')
    .summary('tell the story of one connection')
    .description(
      'Finds every line about one connection in a log: by its id, as it stands in replies and in Received, by the id of one of its transactions, or by the unique id that a balancer gave it (UNIQUE_ID TLV).',
    )
    .argument('<id>', 'the id')
    .argument('[file]', 'a file of the log; - or none is standard input')
    .option('--json', 'the lines as they are')
    .addHelpText(
      'after',
      '\nThe journal of systemd: journalctl -u postern -o cat | postern logs ID\n\nExit status: 0 when there is such a connection, 1 when not.',
    )
    .action(async (id: string, file: string | undefined, options: { readonly json?: boolean }) =>
      finish(await logs(terminal, id, { file, isJson: options.json === true })),
    )
}

interface LogsOptions {
  readonly file: string | undefined
  readonly isJson: boolean
}

async function logs(terminal: Terminal, id: string, { file, isJson }: LogsOptions): Promise<number> {
  const story = new Story(id)
  let found = 0
  try {
    for await (const line of createInterface({ input: openLog(terminal, file) })) {
      const record = parseLogLine(line)
      if (record === undefined || !story.has(record)) continue
      found++
      await print(terminal.stdout, `${isJson ? line : prettyLine(record, false)}\n`)
    }
  } catch (error) {
    throw new CommandFailure(exitStatus.io, `${file ?? 'standard input'}: ${reasonOf(error)}`)
  }
  if (found > 0) return exitStatus.ok
  terminal.stderr.write(`postern: no connection of this log is ${id}\n`)
  return exitStatus.wrong
}

function openLog(terminal: Terminal, file: string | undefined): Readable {
  if (file === undefined && terminal.stdin.isTTY) {
    terminal.stderr.write('postern: reading the log from standard input; a file can be named behind the id\n')
  }
  return file === undefined || file === '-' ? terminal.stdin : createReadStream(resolve(terminal.cwd, file))
}

/** What a line has to do with a connection. Lines come in their order, so the first one of a connection tells its other names. */
class Story {
  readonly #ids: Set<string>

  constructor(id: string) {
    // A transaction is numbered within its connection.
    this.#ids = new Set([id, id.replace(/\.\d+$/, '')])
  }

  has({ id, uniqueId, transaction }: LogRecord): boolean {
    if (typeof id === 'string' && typeof uniqueId === 'string' && this.#ids.has(uniqueId)) this.#ids.add(id)
    if (typeof id === 'string') return this.#ids.has(id)
    return typeof transaction === 'string' && this.#ids.has(transaction.replace(/\.\d+$/, ''))
  }
}
