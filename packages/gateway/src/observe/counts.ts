/*
 * What is counted, as plain numbers. A worker increments them on the path of a connection, where each costs a nanosecond
 * or two; once a second what has changed goes to the supervisor, which adds it to the sums of all workers that ever were.
 * So a worker that dies takes nothing back, and only what it counted in its last second is lost.
 */
import { limits } from '../limits.ts'
import { buckets, metricOf, metrics, type MetricName } from './metric-catalogue.ts'

/** One number of a counter or gauge: hold on to it where it is counted often. */
export class Count {
  value = 0
  told = 0
}

/** How often a value fell into each bucket, the one above all last, and the sum of all values. */
export class Distribution {
  readonly bounds: readonly number[]
  readonly buckets: number[]
  sum = 0
  told: number[]
  toldSum = 0

  constructor(bounds: readonly number[]) {
    this.bounds = bounds
    this.buckets = Array.from({ length: bounds.length + 1 }, () => 0)
    this.told = [...this.buckets]
  }

  observe(value: number): void {
    const { bounds } = this
    let bucket = 0
    while (bucket < bounds.length && value > bounds[bucket]!) bucket++
    this.buckets[bucket]!++
    this.sum += value
  }
}

/**
 * By what one series changed since the last change: a counter, or each bucket of a histogram and, last, its sum. Plain
 * data: it crosses between processes.
 */
export type CountChange = readonly [name: MetricName, labels: readonly string[], by: number | readonly number[]]

/** One series with its labels, in the order of the catalogue. */
export interface Series<T> {
  readonly labels: readonly string[]
  readonly held: T
}

export class Counts {
  readonly #counts = new Map<MetricName, Map<string, Series<Count>>>()
  readonly #distributions = new Map<MetricName, Map<string, Series<Distribution>>>()

  /** The number of a counter or gauge for these values of its labels. */
  count(name: MetricName, ...labels: readonly string[]): Count {
    return find(this.#counts, name, labels, () => new Count())
  }

  distribution(name: MetricName, ...labels: readonly string[]): Distribution {
    return find(this.#distributions, name, labels, () => new Distribution(buckets[metricOf(name).buckets ?? 'work']))
  }

  countsOf(name: MetricName): readonly Series<Count>[] {
    return [...(this.#counts.get(name)?.values() ?? [])]
  }

  distributionsOf(name: MetricName): readonly Series<Distribution>[] {
    return [...(this.#distributions.get(name)?.values() ?? [])]
  }

  /** The sum over all series of a counter or gauge, or over those whose labels say so. */
  sumOf(name: MetricName, where: (labels: readonly string[]) => boolean = () => true): number {
    return this.countsOf(name).reduce((sum, { labels, held }) => (where(labels) ? sum + held.value : sum), 0)
  }

  /** What has changed since it was asked for last. Gauges are left out: they say how one process is, and end with it. */
  takeChanges(): readonly CountChange[] {
    const changes: CountChange[] = []
    for (const [name, all] of this.#counts) {
      if (metrics[name].type === 'gauge') continue
      for (const { labels, held } of all.values()) {
        if (held.value === held.told) continue
        changes.push([name, labels, held.value - held.told])
        held.told = held.value
      }
    }
    for (const [name, all] of this.#distributions) {
      for (const { labels, held } of all.values()) {
        const by = held.buckets.map((value, index) => value - held.told[index]!)
        if (by.every((one) => one === 0)) continue
        changes.push([name, labels, [...by, held.sum - held.toldSum]])
        held.told = [...held.buckets]
        held.toldSum = held.sum
      }
    }
    return changes
  }

  /** All that was counted so far, as changes from zero. */
  all(): readonly CountChange[] {
    const changes: CountChange[] = []
    for (const name of this.#counts.keys()) {
      if (metrics[name].type === 'gauge') continue
      for (const { labels, held } of this.countsOf(name)) changes.push([name, labels, held.value])
    }
    for (const name of this.#distributions.keys()) {
      for (const { labels, held } of this.distributionsOf(name))
        changes.push([name, labels, [...held.buckets, held.sum]])
    }
    return changes
  }

  /** Before they are set anew: what is gone has none any more. */
  forgetGauges(): void {
    for (const name of this.#counts.keys()) if (metrics[name].type === 'gauge') this.#counts.delete(name)
  }

  /** Adds what another process counted. */
  add(changes: readonly CountChange[]): void {
    for (const [name, labels, by] of changes) {
      if (typeof by === 'number') {
        this.count(name, ...labels).value += by
      } else {
        const distribution = this.distribution(name, ...labels)
        for (const index of distribution.buckets.keys()) distribution.buckets[index]! += by[index] ?? 0
        distribution.sum += by.at(-1) ?? 0
      }
    }
  }
}

function find<T>(
  families: Map<MetricName, Map<string, Series<T>>>,
  name: MetricName,
  labels: readonly string[],
  make: () => T,
): T {
  let family = families.get(name)
  if (family === undefined) families.set(name, (family = new Map()))
  const key = labels.join('\0')
  const known = family.get(key)
  if (known !== undefined) return known.held
  // The values of labels are of closed lists, so this is never reached; a mistake there must not fill the memory.
  if (family.size >= limits.maxSeriesOfMetric && !labels.every((label) => label === others)) {
    return find(
      families,
      name,
      labels.map(() => others),
      make,
    )
  }
  const held = make()
  family.set(key, { labels: [...labels], held })
  return held
}

const others = 'others'
