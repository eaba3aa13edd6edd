import { TestRunner } from 'vitest'

/** How long an ordinary client waited for its greeting while it was attacked. */
export interface Waits {
  readonly visits: number
  readonly p99Ms: number
  readonly slowestMs: number
  /** More memory of all workers together, at the height of the attack. */
  readonly grownMib: number
}

declare module 'vitest' {
  interface TaskMeta {
    /** What was measured, in words; `npm run faults -- --record` keeps it. */
    figure?: string
    /** Of an attack. Kept as well, and shown in a table of all attacks. */
    waits?: Waits
  }
}

const attacks: (Waits & { readonly attack: string })[] = []

/** Tells what a test measured: on the terminal, and in docs/reliability.md when the run is recorded. */
export function tellFigure(figure: string): void {
  const test = TestRunner.getCurrentTest()
  if (test === undefined) throw new Error('a figure is told by a test')
  test.meta.figure = test.meta.figure === undefined ? figure : `${test.meta.figure}; ${figure}`
  process.stdout.write(`\n${test.name}: ${figure}\n`)
}

/** Tells what an ordinary client waited during the attack that this test makes. */
export function tellWaits(waits: Waits): void {
  const test = TestRunner.getCurrentTest()
  if (test === undefined) throw new Error('a figure is told by a test')
  test.meta.waits = waits
  attacks.push({ attack: test.name, ...waits })
}

/** All attacks of this file, side by side. */
export function tellAttacks(): void {
  const lines = attacks.map(({ attack, visits, p99Ms, slowestMs, grownMib }) =>
    inColumns([
      attack,
      `${visits}`,
      `${p99Ms.toFixed(0)} ms`,
      `${slowestMs.toFixed(0)} ms`,
      `${grownMib.toFixed(1)} MiB`,
    ]),
  )
  const head = inColumns(['attack', 'visits', 'p99', 'slowest', 'memory'])
  process.stdout.write(`\nAn ordinary client, greeted under attack:\n${[head, ...lines].join('\n')}\n`)
}

function inColumns([attack = '', ...figures]: readonly string[]): string {
  return attack.padEnd(90) + figures.map((figure) => figure.padStart(11)).join('')
}
