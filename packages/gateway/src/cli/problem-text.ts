import { relative } from 'node:path'
import type { ConfigProblem, ConfigWarning } from '../config/schema.ts'

/** A line or two for each problem, in the form that editors and compilers use: `file:line: path: …`. */
export function problemText({ file, line, path, expected, found, hint }: ConfigProblem, cwd: string): string {
  const mend = hint === undefined ? '' : ` (${hint})`
  return `${place(file, line, path, cwd)} expected ${expected}; found ${found}${mend}\n`
}

export function warningText({ file, line, path, message }: ConfigWarning, cwd: string): string {
  return `${place(file, line, path, cwd)} warning: ${message}\n`
}

function place(file: string, line: number, path: string, cwd: string): string {
  const near = relative(cwd, file)
  const shown = near === '' || near.startsWith('..') ? file : near
  return `${shown}:${line > 0 ? `${line}:` : ''}${path === '' ? '' : ` ${path}:`}`
}
