/*
 * The tables of docs/errors.md and docs/limits.md, made from each package's `errors.ts` and `limits.ts`, and that of
 * docs/metrics.md, made from the gateway's catalogue. Run this file with Node to write all of them anew:
 *
 *   node --conditions=@postern/source test/reference.ts && npm run format
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { proxyErrors } from '../packages/core/src/errors.ts'
import { limits as coreLimits } from '../packages/core/src/limits.ts'
import { codes as gatewayErrors } from '../packages/gateway/src/errors.ts'
import { limits as gatewayLimits } from '../packages/gateway/src/limits.ts'
import { metricOf, metrics, type MetricName } from '../packages/gateway/src/observe/metric-catalogue.ts'
import { imapErrors } from '../packages/imap/src/errors.ts'
import {
  limits as imapLimits,
  proxyLimits as imapProxyLimits,
  serverLimits as imapServerLimits,
} from '../packages/imap/src/limits.ts'
import { storeErrorCodes } from '../packages/maildir/src/errors.ts'
import { limits as maildirLimits } from '../packages/maildir/src/limits.ts'
import { smtpErrors, upstreamErrors } from '../packages/smtp/src/errors.ts'
import { clientLimits, limits as smtpLimits, serverLimits } from '../packages/smtp/src/limits.ts'

export interface Limit {
  readonly name: string
  readonly value: number
  readonly unit: string
  /** The comment above it in `limits.ts`; empty when it has none. */
  readonly reason: string
}

const root = new URL('../', import.meta.url)

const timeUnits = [
  [3_600_000, 'h'],
  [60_000, 'min'],
  [1_000, 's'],
] as const
const byteUnits = [
  [1_048_576, 'MiB'],
  [1_024, 'KiB'],
] as const

/** Package to its codes, each with its sentence. */
export const errors: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  core: proxyErrors,
  smtp: { ...smtpErrors, ...upstreamErrors },
  imap: imapErrors,
  maildir: storeErrorCodes,
  gateway: Object.fromEntries(Object.entries(gatewayErrors).map(([code, { meaning }]) => [code, meaning])),
}

/** Package to its bounds. */
export const limits: Readonly<Record<string, readonly Limit[]>> = {
  core: limitsOf('core', coreLimits),
  smtp: limitsOf('smtp', { ...smtpLimits, ...serverLimits, ...clientLimits }),
  imap: limitsOf('imap', { ...imapLimits, ...imapServerLimits, ...imapProxyLimits }),
  maildir: limitsOf('maildir', maildirLimits),
  gateway: limitsOf('gateway', gatewayLimits),
}

/** Document to what belongs between its marks, by package. */
export const documents: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  'docs/errors.md': mapped(errors, (codes) => table(['code', 'meaning'], Object.entries(codes).map(codeRow))),
  'docs/limits.md': mapped(limits, (bounds) => table(['bound', 'default', 'unit', 'reason'], bounds.map(limitRow))),
  'docs/metrics.md': {
    metrics: table(['metric', 'type', 'labels', 'meaning'], (Object.keys(metrics) as MetricName[]).map(metricRow)),
  },
}

/** What a document has between the marks of a package; nothing when the marks are missing. */
export function tableIn(document: string, name: string): string {
  const [, between = ''] = marks(name).exec(document) ?? []
  return between.trim()
}

export function readDocument(path: string): string {
  return readFileSync(new URL(path, root), 'utf8')
}

// ── rows ────────────────────────────────────────────────────────────────────

function codeRow([code, meaning]: readonly [string, string]): readonly string[] {
  return [`\`${code}\``, meaning]
}

function limitRow({ name, value, unit, reason }: Limit): readonly string[] {
  return [`\`${name}\``, value.toLocaleString('en-US'), unit, reason]
}

function metricRow(name: MetricName): readonly string[] {
  const { type, labels, help } = metricOf(name)
  return [
    `\`${name}\``,
    type,
    labels === ''
      ? ''
      : labels
          .split(' ')
          .map((label) => `\`${label}\``)
          .join(' '),
    help,
  ]
}

/** Without the padding, which the formatter adds. */
function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  return [head, head.map(() => '---'), ...rows]
    .map((cells) => `| ${cells.map((cell) => cell.replaceAll('|', String.raw`\|`)).join(' | ')} |`)
    .join('\n')
}

// ── reading limits.ts ───────────────────────────────────────────────────────

/** The values from the module, the words from the comment above each name in its source. */
function limitsOf(name: string, values: object): readonly Limit[] {
  const source = readDocument(`packages/${name}/src/limits.ts`)
  const reasons = new Map<string, string>()
  for (const [, comment = '', bound = ''] of source.matchAll(
    /\/\*\*((?:(?!\*\/)[\s\S])*)\*\/\s*(?:readonly )?(\w+):/g,
  )) {
    const words = comment
      .replaceAll(/^\s*\* ?/gm, ' ')
      .replaceAll(/\s+/g, ' ')
      .trim()
    if (!reasons.has(bound)) reasons.set(bound, words)
  }
  return Object.entries(values).map(([bound, value]: [string, number]) => ({
    name: bound,
    value,
    unit: unitOf(bound, value),
    reason: reasons.get(bound) ?? '',
  }))
}

function unitOf(name: string, value: number): string {
  if (name.endsWith('Ms')) return inLarger(value, 'ms', timeUnits)
  if (name.includes('Bytes')) return inLarger(value, 'bytes', byteUnits)
  if (name.endsWith('Share')) return 'share'
  return /Chars$|Characters$|Length$/.test(name) ? 'characters' : 'count'
}

/** `30,000 ms` is also `30 s`: told when it comes out whole. */
function inLarger(value: number, unit: string, larger: readonly (readonly [number, string])[]): string {
  const [size, name] = larger.find(([each]) => value >= each && value % each === 0) ?? []
  return size === undefined ? unit : `${unit} (${value / size} ${name})`
}

// ── the documents ───────────────────────────────────────────────────────────

function marks(name: string): RegExp {
  return new RegExp(`<!-- ${name} -->\\n([\\s\\S]*?)<!-- end of ${name} -->`)
}

function mapped<T>(record: Readonly<Record<string, T>>, each: (value: T) => string): Record<string, string> {
  return Object.fromEntries(Object.entries(record).map(([name, value]) => [name, each(value)]))
}

if (import.meta.main) {
  for (const [path, tables] of Object.entries(documents)) {
    let document = readDocument(path)
    for (const [name, text] of Object.entries(tables)) {
      document = document.replace(marks(name), () => `<!-- ${name} -->\n\n${text}\n\n<!-- end of ${name} -->`)
    }
    writeFileSync(new URL(path, root), document)
  }
}
