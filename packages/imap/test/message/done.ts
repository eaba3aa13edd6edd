import type { Work } from '../../src/message/work.ts'

/** The result of work, done without a break. */
export function done<T>(work: Work<T>): T {
  for (;;) {
    const piece = work.next()
    if (piece.done === true) return piece.value
  }
}
