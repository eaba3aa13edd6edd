import type { Progress } from '../load/bench.ts'

const width = 24

/** One line that is written over and over, for a terminal. */
export function progressLine({ part, operations, perSecond, errors, unit }: Progress, columns: number): string {
  const done = Math.round(Math.min(1, Math.max(0, part)) * width)
  const bar = `${'='.repeat(Math.max(0, done - 1))}${done > 0 ? '>' : ''}`.padEnd(width)
  const text =
    `Running [${bar}] ${Math.round(part * 100)} %  ${operations.toLocaleString('en')} ${unit}, ` +
    `${Math.round(perSecond).toLocaleString('en')}/s${errors === 0 ? '' : `, ${errors.toLocaleString('en')} failed`}`
  // A longer line would not be written over by the next.
  return text.slice(0, Math.max(0, columns - 1))
}

/** Writes the line to a terminal; anything else gets none. */
export function progressBar(stream: NodeJS.WriteStream): { show: (progress: Progress) => void; clear: () => void } {
  const write = (text: string): void => {
    if (stream.isTTY) stream.write(text)
  }
  return {
    show: (progress) => write(`\r\u001b[K${progressLine(progress, stream.columns)}`),
    clear: () => write('\r\u001b[K'),
  }
}
