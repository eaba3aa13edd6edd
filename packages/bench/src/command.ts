/** A subcommand of `npm run bench`. */
export interface Command {
  /** What it measures, for the usage text. */
  readonly summary: string
  /** Its options, as they are written. */
  readonly options: string
  /** @returns the exit status. Throws `UsageError` for arguments that it does not take. */
  readonly run: (args: readonly string[]) => Promise<number>
}

/** What was asked for cannot be done: the message says what would have been right. */
export class UsageError extends Error {}

/** Reads a whole number from 1 to 10,000. */
export function count(option: string, text: string): number {
  if (!/^[1-9]\d{0,3}$|^10000$/.test(text)) throw new UsageError(`--${option} takes a whole number from 1 to 10000`)
  return Number(text)
}

/** Of ours, or of `parseArgs`. */
export function isUsageError(error: unknown): error is Error {
  return error instanceof UsageError || String((error as { code?: unknown }).code).startsWith('ERR_PARSE_ARGS_')
}
