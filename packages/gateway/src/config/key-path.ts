/** Where a value stands in a TOML document: names of keys, and numbers of array elements from 0. */
export type KeyPath = readonly (string | number)[]

/** As an operator would write it: `listener.mx.bind[1]`; keys that TOML would quote are quoted. */
export function formatKeyPath(path: KeyPath): string {
  let text = ''
  for (const part of path) {
    if (typeof part === 'number') text += `[${part}]`
    else text += (text === '' ? '' : '.') + (/^[A-Za-z0-9_-]+$/.test(part) ? part : JSON.stringify(part))
  }
  return text
}

/** What stands at `path`, or `undefined`. Own keys only: a document cannot reach into a prototype. */
export function valueAt(document: unknown, path: KeyPath): unknown {
  let value = document
  for (const part of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, part)) return undefined
    value = (value as Record<string | number, unknown>)[part]
  }
  return value
}

/** `path` is `above`, or lies under it. */
export function isAtOrUnder(path: KeyPath, above: KeyPath): boolean {
  return above.length <= path.length && above.every((part, index) => part === path[index])
}
