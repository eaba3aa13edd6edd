import { TestRunner } from 'vitest'

declare module 'vitest' {
  interface TaskMeta {
    /** What was measured, in words; `npm run faults -- --record` keeps it. */
    figure?: string
  }
}

/** Tells what a test measured: on the terminal, and in docs/reliability.md when the run is recorded. */
export function tellFigure(figure: string): void {
  const test = TestRunner.getCurrentTest()
  if (test === undefined) throw new Error('a figure is told by a test')
  test.meta.figure = test.meta.figure === undefined ? figure : `${test.meta.figure}; ${figure}`
  process.stdout.write(`\n${test.name}: ${figure}\n`)
}
