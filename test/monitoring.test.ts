// The dashboard and the alerts of examples/prometheus ask for metrics and labels that there are.
import { describe, expect, test } from 'vitest'
import { labelsOf, metricOf, metrics, type MetricName } from '../packages/gateway/src/observe/metric-catalogue.ts'
import { readDocument } from './reference.ts'

interface Dashboard {
  readonly panels: readonly { readonly title: string; readonly targets: readonly { readonly expr: string }[] }[]
}

const { panels } = JSON.parse(readDocument('examples/prometheus/dashboard.json')) as Dashboard
const alerts = readDocument('examples/prometheus/alerts.yaml')
const expressions = [
  ...panels.flatMap(({ title, targets }) => targets.map(({ expr }) => [title, expr] as const)),
  ...[...alerts.matchAll(/- alert: (\w+)\n\s+expr: (?:>-\n)?([\s\S]*?)\n\s+(?:for|labels):/g)].map(
    ([, name = '', expr = '']) => [name, expr] as const,
  ),
]

describe('examples/prometheus', () => {
  test('has panels and alerts', () => {
    expect(panels.length).toBeGreaterThan(10)
    expect(expressions.length - panels.flatMap(({ targets }) => targets).length).toBe(alerts.match(/- alert:/g)?.length)
  })

  test.each(expressions)('%s asks for what there is', (_name, expression) => {
    const asked = [...expression.matchAll(/(postern_[a-z_]+)(?:\{([^}]*)\})?/g)]
    expect(asked.length).toBeGreaterThan(0)
    const wrong = asked.flatMap(([, written = '', selector = '']) => {
      const name = written.replace(/_(?:bucket|sum|count)$/, '') as MetricName
      if (!Object.hasOwn(metrics, name)) return [`${written} is no metric`]
      if (name !== written && metricOf(name).type !== 'histogram') return [`${name} is no histogram`]
      const labels = [...selector.matchAll(/(\w+)[=!]/g)].map(([, label = '']) => label)
      const known = new Set([...labelsOf(name), 'instance'])
      return labels.filter((label) => !known.has(label)).map((label) => `${name} has no label ${label}`)
    })
    const grouped = [...expression.matchAll(/by \(([^)]*)\)/g)].flatMap(([, names = '']) => names.split(', '))
    const all = new Set([...asked.flatMap(([, name = '']) => labelsOfWritten(name)), 'instance', 'le'])
    expect([...wrong, ...grouped.filter((label) => !all.has(label))]).toEqual([])
  })
})

function labelsOfWritten(written: string): readonly string[] {
  const name = written.replace(/_(?:bucket|sum|count)$/, '') as MetricName
  return Object.hasOwn(metrics, name) ? labelsOf(name) : []
}
