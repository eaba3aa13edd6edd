import { createReadStream } from 'node:fs'
import { resolve } from 'node:path'
import type { Readable } from 'node:stream'
import { explainHeader, limits as protocol, type HeaderRecord } from '@postern/core'
import { Command } from 'commander'
import { reasonOf } from '../config/read-file.ts'
import { exitStatus } from './exit-status.ts'
import { headerText } from './header-text.ts'
import { HexLines, type LineRecord } from './hex-lines.ts'
import { CommandFailure, print, type Terminal } from './terminal.ts'

interface InspectOptions {
  readonly hex?: string
  readonly json?: boolean
  readonly lines?: boolean
}

export function inspectCommand(terminal: Terminal, finish: (status: number) => void): Command {
  return new Command('inspect')
    .summary('explain PROXY header bytes')
    .description('Decodes and explains the PROXY header at the start of some bytes, field by field.')
    .argument('[file]', 'a file of raw bytes; - or none is standard input')
    .option('--hex <digits>', 'the bytes in hexadecimal, instead of a file')
    .option('--json', 'one JSON object instead of a table')
    .option('--lines', 'read hexadecimal text, a header a line; print one JSON object a line')
    .addHelpText(
      'after',
      '\nExit status: 0 valid, 1 invalid or no PROXY header, 2 incomplete; with --lines 0 when all lines were answered.',
    )
    .action(async (file: string | undefined, options: InspectOptions) => finish(await inspect(terminal, file, options)))
}

async function inspect(terminal: Terminal, file: string | undefined, options: InspectOptions): Promise<number> {
  const { hex } = options
  if (hex !== undefined && file !== undefined) {
    throw new CommandFailure(exitStatus.usage, 'give --hex DIGITS or a FILE (- or none is standard input), not both')
  }
  if (options.lines === true)
    return answerLines(terminal, hex === undefined ? textOf(openInput(terminal, file)) : [hex])
  const bytes = hex === undefined ? await readStart(openInput(terminal, file)) : bytesOfHex(hex)
  const record = explainHeader(bytes)
  await print(terminal.stdout, options.json === true ? jsonLine(record) : headerText(record, bytes))
  return statusOf(record)
}

/** Every line is answered by its record, good or bad: so the input as a whole cannot fail. */
async function answerLines(terminal: Terminal, input: AsyncIterable<string> | Iterable<string>): Promise<number> {
  const lines = new HexLines()
  for await (const chunk of input) await print(terminal.stdout, lines.push(chunk).map(jsonLine).join(''))
  await print(terminal.stdout, lines.end().map(jsonLine).join(''))
  return exitStatus.ok
}

function statusOf({ status }: HeaderRecord): number {
  if (status === 'ok') return exitStatus.ok
  return status === 'incomplete' ? exitStatus.incomplete : exitStatus.wrong
}

function jsonLine(record: LineRecord): string {
  return `${JSON.stringify(record)}\n`
}

// ── input ───────────────────────────────────────────────────────────────────

function bytesOfHex(text: string): Buffer {
  const digits = text.replaceAll(/\s/g, '')
  if (!/^(?:[0-9A-Fa-f]{2})*$/.test(digits)) {
    throw new CommandFailure(exitStatus.usage, '--hex takes pairs of hexadecimal digits')
  }
  return Buffer.from(digits, 'hex')
}

function openInput(terminal: Terminal, file: string = '-'): Readable {
  return file === '-' ? terminal.stdin : createReadStream(resolve(terminal.cwd, file))
}

/** As much as a header can be, and a little of what is behind it. */
async function readStart(input: Readable): Promise<Buffer> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of readable(input)) {
    chunks.push(chunk)
    length += chunk.length
    if (length > protocol.largestHeaderBytes) break
  }
  return Buffer.concat(chunks)
}

/** Hexadecimal text is ASCII, so any encoding of one byte a character does; others show as strange characters. */
async function* textOf(input: Readable): AsyncIterable<string> {
  for await (const chunk of readable(input)) yield chunk.toString('latin1')
}

async function* readable(input: Readable): AsyncIterable<Buffer> {
  try {
    for await (const chunk of input) yield typeof chunk === 'string' ? Buffer.from(chunk) : (chunk as Buffer)
  } catch (error) {
    throw new CommandFailure(exitStatus.io, `the input cannot be read: ${reasonOf(error)}`)
  }
}
