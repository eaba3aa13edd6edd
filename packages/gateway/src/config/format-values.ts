/*
 * What may stand as a value in the configuration. The message of every check is the words for what was expected, so that
 * a problem can say "expected …, found …".
 */
import { compileCidrSet } from '@postern/core'
import { z } from 'zod'
import { parseBindAddress } from './bind-address.ts'
import type { Rate } from './schema.ts'
import { bytesPattern, durationPattern, parseBytes, parseDuration, parseRate, ratePattern } from './units.ts'

export function text(expected: string, pattern: RegExp): z.ZodString {
  return z.string({ error: expected }).regex(pattern, { error: expected })
}

export function oneOf<const T extends readonly [string, ...string[]]>(
  values: T,
): z.ZodEnum<z.core.util.ToEnum<T[number]>> {
  return z.enum(values, { error: `one of ${values.map((value) => `"${value}"`).join(', ')}` })
}

export function wholeNumber(min: number, max: number, expected = `a whole number from ${min} to ${max}`): z.ZodInt {
  return z.int({ error: expected }).min(min, { error: expected }).max(max, { error: expected })
}

/** Zero is a mistake, never "no limit": that has a word of its own. */
export function ceiling(max: number): z.ZodUnion<[z.ZodInt, z.ZodLiteral<'unlimited'>]> {
  const expected = `a whole number from 1 to ${max}, or "unlimited"`
  return z.union([wholeNumber(1, max, expected), z.literal('unlimited')], { error: expected })
}

export type FromText<T> = z.ZodPipe<z.ZodString, z.ZodTransform<T, string>>

/** A quantity with its unit, between two others. */
function quantity(
  what: string,
  pattern: RegExp,
  parse: (text: string) => number | undefined,
  [min, max]: readonly [string, string],
): FromText<number> {
  const expected = `${what}, from "${min}" to "${max}"`
  const least = parse(min) ?? Number.NaN
  const most = parse(max) ?? Number.NaN
  return text(expected, pattern).transform((written, context) => {
    const value = parse(written)
    if (value !== undefined && value >= least && value <= most) return value
    context.issues.push({ code: 'custom', message: expected, input: written })
    return z.NEVER
  })
}

export function duration(min: string, max: string): FromText<number> {
  return quantity('a duration, as in "30s" or "5m"', durationPattern, parseDuration, [min, max])
}

export function bytes(min: string, max: string): FromText<number> {
  return quantity('a size, as in "64KiB" or "25MiB"', bytesPattern, parseBytes, [min, max])
}

/** A size, where none is a word of its own. */
export function ceilingOfBytes(min: string, max: string): z.ZodUnion<[z.ZodLiteral<'unlimited'>, FromText<number>]> {
  return z.union([z.literal('unlimited'), bytes(min, max)], {
    error: `a size, as in "64KiB" or "25MiB", from "${min}" to "${max}", or "unlimited"`,
  })
}

const rateWords = 'a rate, as in "10/1m" for ten in a minute, or "unlimited"'
export const rate: z.ZodUnion<[z.ZodLiteral<'unlimited'>, FromText<Rate>]> = z.union(
  [
    z.literal('unlimited'),
    text(rateWords, ratePattern).transform((written, context) => {
      const value = parseRate(written)
      if (value !== undefined && value.perMs <= longestRateMs) return value
      context.issues.push({ code: 'custom', message: `${rateWords}; over a day at most`, input: written })
      return z.NEVER
    }),
  ],
  { error: rateWords },
)
const longestRateMs = 86_400_000

const network: z.ZodString = z
  .string({ error: 'an address or a network, as in "192.0.2.0/24"' })
  .superRefine((written, context) => {
    const compiled = compileCidrSet([written])
    if (compiled.ok) return
    for (const { expected } of compiled.problems) {
      context.addIssue({ code: 'custom', message: expected.replace(/^expected /, ''), input: written })
    }
  })

export const networks: z.ZodArray<z.ZodString> = z.array(network, {
  error: 'a list of addresses and networks, as in ["10.0.0.0/8", "::1"]',
})

export const bindWords: string = 'an IP address and a port, as in "0.0.0.0:25", "[::]:25" or "127.0.0.1"'
export const bindAddress: z.ZodString = z
  .string({ error: bindWords })
  .refine((written) => parseBindAddress(written) !== undefined, {
    error: bindWords,
  })

/** RFC 1123 section 2.1: letters, digits and hyphens. One label is enough (`localhost`). */
const domainPattern =
  /^(?=.{1,253}$)[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$/
export const domain: z.ZodString = text(
  'a domain name in ASCII (an internationalised one begins with xn--)',
  domainPattern,
)

export const fileName: z.ZodString = text('the name of a file', /^[^\0\n]+$/)

/** A table that knows all its keys. */
export function table<T extends z.core.$ZodLooseShape>(shape: T): z.ZodObject<T, z.core.$strict> {
  return z.strictObject(shape, {
    error: (issue) => (issue.code === 'unrecognized_keys' ? undefined : 'a table of keys'),
  })
}
