import { compileCidrSet, type CidrSet } from '@postern/core'

/** @throws on a network that the configuration's reader would have refused. */
export function networks(texts: readonly string[]): CidrSet {
  const compiled = compileCidrSet(texts)
  if (!compiled.ok) throw new Error(`not a network: ${compiled.problems.map((problem) => problem.text).join(', ')}`)
  return compiled.set
}
