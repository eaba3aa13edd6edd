import { calendarDay, monthOf } from '../wire/date-time.ts'

const millisecondsOfDay = 86_400_000

/** RFC 5322 section 4.3: the zones that had names. All others, the military letters too, tell nothing. */
const zones: Readonly<Record<string, number>> = {
  EST: -5,
  EDT: -4,
  CST: -6,
  CDT: -5,
  MST: -7,
  MDT: -6,
  PST: -8,
  PDT: -7,
}

/**
 * The point in time of a Date field (RFC 5256 section 2.2), in milliseconds: without a zone it is in UTC, with a time that
 * makes no sense it is midnight. `undefined` when not even the day can be read.
 *
 * @param value - the field, unfolded.
 */
export function parseSentDate(value: string): number | undefined {
  const found = sentDate.exec(value)
  if (found === null) return undefined
  const [, day, month = '', yearText = '', hour, minute, second, zone = ''] = found
  const year = Number(yearText)
  // RFC 5322 section 4.3: two and three digits are years of the last century, or of this one below 50.
  const century = yearText.length === 4 ? 0 : year < 50 ? 2000 : 1900
  const date = calendarDay(year + century, monthOf(month), Number(day))
  if (date === undefined) return undefined
  const [hours, minutes, seconds] = [Number(hour ?? 0), Number(minute ?? 0), Number(second ?? 0)]
  if (hours > 23 || minutes > 59 || seconds > 60) return date * millisecondsOfDay
  return date * millisecondsOfDay + ((hours * 60 + minutes) * 60 + seconds) * 1000 - zoneOffset(zone)
}

/** `[day-of-week ","] day month year [hour ":" minute [":" second] [zone]]`, comments aside. */
const sentDate =
  /(?:^|[\s,])(\d{1,2})[\s-]+([A-Za-z]{3})[A-Za-z]*[\s-]+(\d{2,4})(?:\s+(\d{1,2})\s*:\s*(\d{2})(?:\s*:\s*(\d{2}))?(?:\s+([+-]\d{4}|[A-Za-z]{1,5})\b)?)?/

function zoneOffset(zone: string): number {
  if (/^[+-]/.test(zone)) {
    const minutes = Number(zone.slice(1, 3)) * 60 + Number(zone.slice(3))
    return (zone.startsWith('-') ? -minutes : minutes) * 60_000
  }
  const name = zone.toUpperCase()
  return Object.hasOwn(zones, name) ? (zones[name] ?? 0) * 3_600_000 : 0
}
