/** One record of the log, as a line of its JSON has it. */
export type LogRecord = Readonly<Record<string, unknown>>

/** Reads one line of a log; `undefined` for what is none, as what another program wrote between. */
export function parseLogLine(line: string): LogRecord | undefined {
  try {
    const value: unknown = JSON.parse(line)
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as LogRecord) : undefined
  } catch {
    return undefined
  }
}

/**
 * A record for people: time, level, event, whose connection, then the other fields, and the sentence last. Everything from
 * the network was escaped when it was logged.
 */
export function prettyLine(record: LogRecord, hasColours: boolean): string {
  const { time, level, event, msg, ...rest } = record
  const at = typeof time === 'number' ? new Date(time).toISOString().slice(11, 23) : '--:--:--.---'
  const word = typeof level === 'string' ? level.toUpperCase() : ''
  const paint = (text: string, code: string | undefined): string =>
    hasColours && code !== undefined ? `\u001B[${code}m${text}\u001B[0m` : text
  const fields = Object.entries(rest)
    .filter(([name]) => !isOfEveryLine.has(name))
    .map(([name, value]) => `${paint(`${name}=`, dim)}${typeof value === 'string' ? value : JSON.stringify(value)}`)
  const parts = [
    paint(at, dim),
    paint(word.padEnd(5), colours.get(word)),
    paint(typeof event === 'string' ? event : '', bold),
    ...fields,
    ...(typeof msg === 'string' ? [paint('—', dim), msg] : []),
  ]
  return parts.join(' ')
}

/** They tell processes apart, which a person who looks at one terminal seldom asks for. */
const isOfEveryLine: ReadonlySet<string> = new Set(['process', 'pid', 'slot', 'worker'])

const dim = '2'
const bold = '1'
const colours: ReadonlyMap<string, string> = new Map([
  ['WARN', '33'],
  ['ERROR', '31'],
  ['FATAL', '31'],
])
