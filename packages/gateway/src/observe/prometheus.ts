import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { Counts } from './counts.ts'
import { buckets, labelsOf, metricOf, metrics, type MetricName } from './metric-catalogue.ts'

/** What Prometheus reads: all of the catalogue, also what is still zero, from the sums that `counts` holds. */
export class Exposition {
  readonly #registry = new Registry()

  constructor(counts: Counts) {
    for (const name of Object.keys(metrics) as MetricName[]) this.#registry.registerMetric(metricFor(name, counts))
  }

  get contentType(): string {
    return this.#registry.contentType
  }

  /** The text format, version 0.0.4. */
  text(): Promise<string> {
    return this.#registry.metrics()
  }
}

function metricFor(name: MetricName, counts: Counts): Counter | Gauge | Histogram {
  const { type, help } = metricOf(name)
  const labels = labelsOf(name)
  const options = { name, help, labelNames: [...labels], registers: [] }
  if (type === 'histogram') return new SummedHistogram(options, counts, name)
  if (type === 'gauge') {
    const collect = function (this: Gauge): void {
      this.reset()
      for (const { labels: values, held } of counts.countsOf(name)) this.set(named(labels, values), held.value)
    }
    return new Gauge({ ...options, collect })
  }
  const collect = function (this: Counter): void {
    this.reset()
    for (const { labels: values, held } of counts.countsOf(name)) this.inc(named(labels, values), held.value)
  }
  return new Counter({ ...options, collect })
}

/** prom-client's own observes values one by one; this one tells what workers have put into buckets already. */
class SummedHistogram extends Histogram {
  readonly #counts: Counts
  readonly #name: MetricName

  constructor(options: Omit<ConstructorParameters<typeof Histogram>[0], 'buckets'>, counts: Counts, name: MetricName) {
    super({ ...options, buckets: [...buckets[metricOf(name).buckets ?? 'work']] })
    this.#counts = counts
    this.#name = name
  }

  override get(): ReturnType<Histogram['get']> {
    const { help } = metricOf(this.#name)
    const names = labelsOf(this.#name)
    const values = this.#counts.distributionsOf(this.#name).flatMap(({ labels, held }) => {
      const of = named(names, labels)
      let cumulative = 0
      const lines = held.buckets.map((count, index) => ({
        metricName: `${this.#name}_bucket`,
        labels: { ...of, le: held.bounds[index] ?? '+Inf' },
        value: (cumulative += count),
      }))
      return [
        ...lines,
        { metricName: `${this.#name}_sum`, labels: of, value: held.sum },
        { metricName: `${this.#name}_count`, labels: of, value: cumulative },
      ]
    })
    return Promise.resolve({ name: this.#name, help, type: 'histogram', values, aggregator: 'sum' } as never)
  }

  /** Which the registry asks for first. */
  getForPromString(): ReturnType<Histogram['get']> {
    return this.get()
  }
}

function named(names: readonly string[], values: readonly string[]): Record<string, string> {
  return Object.fromEntries(names.map((name, index) => [name, values[index] ?? '']))
}
