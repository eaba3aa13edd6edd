/** The same as `engines` of the package: from where on sockets can be held without serving them. */
const leastMinor: Readonly<Record<number, number>> = { 24: 21, 25: Infinity, 26: 4 }

/**
 * What to tell when this Node cannot run the gateway: better said than met as a missing function.
 *
 * @param version - as in `process.versions.node`.
 */
export function nodeTooOld(version: string): string | undefined {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  if (major > 26 || minor >= (leastMinor[major] ?? Infinity)) return undefined
  return `postern: this is Node ${version}; it takes Node 24 from 24.21, or Node from 26.4 (a checkout has one: node_modules/.bin/node)`
}
