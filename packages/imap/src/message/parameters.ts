/** A value with parameters, as in Content-Type and Content-Disposition (RFC 2045 section 5.1, RFC 2183). */
export interface Parameterized {
  readonly value: string
  /** In order, names as they stand; continuations and encodings of RFC 2231 are left to the client. */
  readonly parameters: readonly (readonly [name: string, value: string])[]
}

/** Reads what is there and never refuses: unquoted values with blanks, missing quotes and stray semicolons occur. */
export function parseParameterized(field: string, maxParameters: number): Parameterized {
  const text = withoutComments(field)
  const first = endOfPlain(text, 0)
  const parameters: [string, string][] = []
  let at = first
  while (at < text.length && parameters.length < maxParameters) {
    // `at` stands on a semicolon.
    const nameEnd = nextOf(text, at + 1, '=', ';')
    const name = text.slice(at + 1, nameEnd).trim()
    if (text[nameEnd] !== '=') {
      at = nameEnd
      continue
    }
    const start = skipBlanks(text, nameEnd + 1)
    let value: string
    if (text[start] === '"') {
      const quoted = readQuoted(text, start)
      value = quoted.value
      at = endOfPlain(text, quoted.end)
    } else {
      at = endOfPlain(text, start)
      value = text.slice(start, at).trim()
    }
    if (name !== '') parameters.push([name, value])
  }
  return { value: text.slice(0, first).trim(), parameters }
}

/** The value of a parameter by its name in lower case. */
export function parameter(of: Parameterized, name: string): string | undefined {
  return of.parameters.find(([candidate]) => candidate.toLowerCase() === name)?.[1]
}

function endOfPlain(text: string, at: number): number {
  const end = text.indexOf(';', at)
  return end === -1 ? text.length : end
}

function nextOf(text: string, from: number, one: string, other: string): number {
  for (let at = from; at < text.length; at += 1) {
    if (text[at] === one || text[at] === other) return at
  }
  return text.length
}

function skipBlanks(text: string, from: number): number {
  let at = from
  while (text[at] === ' ' || text[at] === '\t') at += 1
  return at
}

function readQuoted(text: string, open: number): { value: string; end: number } {
  let value = ''
  let at = open + 1
  for (; at < text.length && text[at] !== '"'; at += 1) {
    if (text[at] === '\\' && at + 1 < text.length) at += 1
    value += text.charAt(at)
  }
  return { value, end: Math.min(at + 1, text.length) }
}

/** Comments are allowed between tokens, and used by nobody but to hide things: they are taken out, counting depth. */
export function withoutComments(text: string): string {
  if (!text.includes('(')) return text
  let kept = ''
  let from = 0
  let depth = 0
  let isInQuotes = false
  for (let at = 0; at < text.length; at += 1) {
    const char = text[at]
    if (char === '\\') at += 1
    else if (depth === 0 && char === '"') isInQuotes = !isInQuotes
    else if (!isInQuotes && char === '(') {
      if (depth === 0) kept += text.slice(from, at)
      depth += 1
    } else if (depth > 0 && char === ')') {
      depth -= 1
      if (depth === 0) from = at + 1
    }
  }
  return depth > 0 ? kept : kept + text.slice(from)
}
