const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'] as const

/** A calendar day without a time or zone, as the days since 1970-01-01. */
export type Day = number

const millisecondsOfDay = 86_400_000

/** The day of a point in time in UTC, which is the zone that INTERNALDATE is told in. */
export function dayOf(date: Date): Day {
  return Math.floor(date.getTime() / millisecondsOfDay)
}

/** `date-text = date-day "-" date-month "-" date-year`, already without its quotes. */
export function parseDay(text: string): Day | undefined {
  const found = /^(\d{1,2})-([A-Za-z]{3})-(\d{4})$/.exec(text)
  if (found === null) return undefined
  return calendarDay(Number(found[3]), monthOf(found[2] ?? ''), Number(found[1]))
}

/** The day that exists in the calendar, or `undefined`. */
export function calendarDay(year: number, month: number, day: number): Day | undefined {
  if (month < 0) return undefined
  const date = new Date(0)
  date.setUTCFullYear(year, month, day)
  return date.getUTCDate() === day && date.getUTCMonth() === month ? dayOf(date) : undefined
}

/** 0 for January; -1 for no month. Any case, as ABNF strings are. */
export function monthOf(name: string): number {
  const wanted = name.toLowerCase()
  return months.findIndex((month) => month.toLowerCase() === wanted)
}

/** `date-time = DQUOTE date-day-fixed "-" date-month "-" date-year SP time SP zone DQUOTE`, without its quotes. */
export function parseDateTime(text: string): Date | undefined {
  const found = /^([ \d]\d)-([A-Za-z]{3})-(\d{4}) (\d{2}):(\d{2}):(\d{2}) ([+-])(\d{2})(\d{2})$/.exec(text)
  if (found === null) return undefined
  const day = calendarDay(Number(found[3]), monthOf(found[2] ?? ''), Number(found[1]))
  const [hour, minute, second, zoneHours, zoneMinutes] = [4, 5, 6, 8, 9].map((index) => Number(found[index]))
  if (day === undefined || hour === undefined || minute === undefined || second === undefined) return undefined
  if (zoneHours === undefined || zoneMinutes === undefined) return undefined
  if (hour > 23 || minute > 59 || second > 60 || zoneHours > 23 || zoneMinutes > 59) return undefined
  const offset = (zoneHours * 60 + zoneMinutes) * (found[7] === '-' ? -60_000 : 60_000)
  return new Date(day * millisecondsOfDay + ((hour * 60 + minute) * 60 + second) * 1000 - offset)
}

/** INTERNALDATE as it is told: always in UTC, quotes included. */
export function encodeDateTime(date: Date): string {
  const day = String(date.getUTCDate()).padStart(2, ' ')
  const year = String(date.getUTCFullYear()).padStart(4, '0')
  const time = `${two(date.getUTCHours())}:${two(date.getUTCMinutes())}:${two(date.getUTCSeconds())}`
  return `"${day}-${months[date.getUTCMonth()] ?? 'Jan'}-${year} ${time} +0000"`
}

function two(value: number): string {
  return String(value).padStart(2, '0')
}
