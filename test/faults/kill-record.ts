/*
 * What `kill -9` cost, batch by batch: `kills.jsonl` has one line for each batch that was run to its end and looked
 * through, whatever came of it. A long run that is cut off has recorded what it did so far, and several runs add up.
 */
import { execFileSync } from 'node:child_process'
import { appendFileSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const file = new URL('kills.jsonl', import.meta.url)

export interface Counts {
  /** Workers killed, each while it served. */
  readonly kills: number
  /** Times that the supervisor and all workers were killed at once. */
  readonly outages: number
  readonly deliveries: number
  readonly appends: number
  readonly stores: number
  readonly removals: number
  /** Attempts of clients that broke off, or were put off. */
  readonly broken: number
  /** Acknowledged, and not there. */
  readonly lost: number
  /** Files that are not whole messages. */
  readonly half: number
  /** UIDs that were two messages, flags and removals that were forgotten, and whatever else contradicts what was told. */
  readonly wrong: number
  /** Deliveries that are there more than once: their acknowledgement was cut off, and they came again. */
  readonly again: number
  readonly seconds: number
}

export interface RecordedKills extends Counts {
  readonly date: string
  readonly commit: string
}

export function recordKills(counts: Counts): void {
  const date = new Date().toISOString().slice(0, 10)
  const commit = execFileSync('git', ['rev-parse', '--short=8', 'HEAD'], {
    cwd: fileURLToPath(new URL('.', import.meta.url)),
    encoding: 'utf8',
  }).trim()
  // One write, so that two runs at a time leave two lines.
  appendFileSync(file, `${JSON.stringify({ date, commit, ...counts })}\n`)
}

export function readKills(): readonly RecordedKills[] {
  const lines = readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
  return lines.map((line) => JSON.parse(line) as RecordedKills)
}

export function sumOf(all: readonly Counts[]): Counts {
  const sum = (of: (counts: Counts) => number): number => all.reduce((total, each) => total + of(each), 0)
  return {
    kills: sum(({ kills }) => kills),
    outages: sum(({ outages }) => outages),
    deliveries: sum(({ deliveries }) => deliveries),
    appends: sum(({ appends }) => appends),
    stores: sum(({ stores }) => stores),
    removals: sum(({ removals }) => removals),
    broken: sum(({ broken }) => broken),
    lost: sum(({ lost }) => lost),
    half: sum(({ half }) => half),
    wrong: sum(({ wrong }) => wrong),
    again: sum(({ again }) => again),
    seconds: sum(({ seconds }) => seconds),
  }
}
