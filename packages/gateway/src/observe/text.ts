import { limits } from '../limits.ts'

/**
 * Text from the network as a log may hold it: bytes outside printable ASCII are escaped, and a long value is cut. So
 * no value starts a line, moves a terminal's cursor or hides what comes behind it, and every line has a bound.
 */
export function printable(text: string, maxChars: number = limits.maxLogValueChars): string {
  if (text.length <= maxChars && isPrintable.test(text)) return text
  const escaped = text.slice(0, maxChars).replaceAll(/[^\x20-\x7e]/g, escapeUnit)
  return text.length > maxChars || escaped.length > maxChars ? `${escaped.slice(0, maxChars)}...` : escaped
}

/** Where a bug is, for the line that tells of it. */
export function printableStack(error: unknown): string {
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error)
  return printable(stack, limits.maxLogStackChars)
}

/** Nearly every value is: a test costs a tenth of a replacement. */
const isPrintable = /^[\x20-\x7e]*$/

function escapeUnit(character: string): string {
  const unit = character.charCodeAt(0)
  return unit <= 0xff ? `\\x${unit.toString(16).padStart(2, '0')}` : `\\u${unit.toString(16).padStart(4, '0')}`
}
