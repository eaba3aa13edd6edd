/*
 * How quantities are written in the configuration: a whole number in decimal and a unit, no space, sign or fraction.
 * Zero is never a quantity here, since it would be read as "none" by some and as "without limit" by others.
 */
import type { Rate } from './schema.ts'

const millisecondsPer: ReadonlyMap<string, number> = new Map([
  ['ms', 1],
  ['s', 1_000],
  ['m', 60_000],
  ['h', 3_600_000],
  ['d', 86_400_000],
])

const bytesPer: ReadonlyMap<string, number> = new Map([
  ['B', 1],
  ['KiB', 1_024],
  ['MiB', 1_048_576],
  ['GiB', 1_073_741_824],
])

export const durationPattern: RegExp = /^([1-9][0-9]{0,8})(ms|s|m|h|d)$/
export const bytesPattern: RegExp = /^([1-9][0-9]{0,9})(B|KiB|MiB|GiB)$/
export const ratePattern: RegExp = /^([1-9][0-9]{0,8})\/([1-9][0-9]{0,8}(?:ms|s|m|h|d))$/

/** `"30s"` is 30 000. `undefined` when it is no duration. */
export function parseDuration(text: string): number | undefined {
  return parseQuantity(text, durationPattern, millisecondsPer)
}

/** `"25MiB"` is 26 214 400. `undefined` when it is no size. */
export function parseBytes(text: string): number | undefined {
  return parseQuantity(text, bytesPattern, bytesPer)
}

/** `"10/1m"` is ten in a minute. `undefined` when it is no rate. */
export function parseRate(text: string): Rate | undefined {
  const [, count, per] = ratePattern.exec(text) ?? []
  const perMs = per === undefined ? undefined : parseDuration(per)
  return perMs === undefined ? undefined : { count: Number(count), perMs }
}

/** The shortest exact way to write a duration: 90 000 is `90s`. */
export function formatDuration(ms: number): string {
  return formatQuantity(ms, millisecondsPer)
}

/** The shortest exact way to write a size. */
export function formatBytes(bytes: number): string {
  return formatQuantity(bytes, bytesPer)
}

function parseQuantity(text: string, pattern: RegExp, units: ReadonlyMap<string, number>): number | undefined {
  const [, digits, unit = ''] = pattern.exec(text) ?? []
  const factor = units.get(unit)
  if (digits === undefined || factor === undefined) return undefined
  const quantity = Number(digits) * factor
  return Number.isSafeInteger(quantity) ? quantity : undefined
}

function formatQuantity(quantity: number, units: ReadonlyMap<string, number>): string {
  for (const [unit, factor] of [...units].toReversed()) {
    if (quantity >= factor && quantity % factor === 0) return `${quantity / factor}${unit}`
  }
  return String(quantity)
}
