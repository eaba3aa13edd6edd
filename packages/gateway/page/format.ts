/* Numbers as people read them. No locale: a page that is read over a colleague's shoulder says the same on every machine. */

/** `1 234 567`, with blanks that do not break. */
export function count(value: number): string {
  return Math.round(value)
    .toString()
    .replaceAll(/\B(?=(?:\d{3})+$)/g, '\u{202f}')
}

/** Small rates matter too: `0.3`, `12`, `1 240`. */
export function rate(value: number): string {
  return value > 0 && value < 9.95 ? value.toFixed(1) : count(value)
}

const byteUnits = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']

export function bytes(value: number): string {
  let rest = value
  let unit = 0
  while (rest >= 1023.5 && unit < byteUnits.length - 1) {
    rest /= 1024
    unit++
  }
  return `${unit > 0 && rest < 9.95 ? rest.toFixed(1) : Math.round(rest)} ${byteUnits[unit]}`
}

const timeUnits = [
  ['d', 86_400],
  ['h', 3600],
  ['min', 60],
  ['s', 1],
] as const

/** The two largest units: `3 d 4 h`, `12 min 5 s`, `0 s`. */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds))
  const parts: string[] = []
  let rest = whole
  for (const [unit, size] of timeUnits) {
    const many = Math.floor(rest / size)
    rest -= many * size
    if (many > 0) parts.push(`${many} ${unit}`)
    else if (parts.length > 0) break
    if (parts.length === 2) break
  }
  return parts.length === 0 ? '0 s' : parts.join(' ')
}

export function percent(share: number): string {
  return `${Math.round(share * 100)} %`
}

/** Of this machine's day, `07:04:09`. */
export function clock(at: number): string {
  const time = new Date(at)
  return [time.getHours(), time.getMinutes(), time.getSeconds()].map((part) => String(part).padStart(2, '0')).join(':')
}

export function sum(counts: Readonly<Record<string, number>>): number {
  return Object.values(counts).reduce((total, one) => total + one, 0)
}
