/** A value with parameters, as in Content-Type and Content-Disposition (RFC 2045 section 5.1, RFC 2183). */
export interface Parameterized {
  readonly value: string
  /** In order, names as they stand, then those that stood in pieces; the encoding of RFC 2231 is left to the client. */
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
  return { value: text.slice(0, first).trim(), parameters: joinPieces(parameters) }
}

type Parameter = readonly [name: string, value: string]

/** RFC 2231 section 3 counts from 0, without leading zeros; section 4.1 puts an asterisk behind what is encoded. */
const piece = /^(.+)\*(0|[1-9]\d{0,2})(\*?)$/

/**
 * RFC 2231 section 6: BODYSTRUCTURE tells a value that stands in pieces as one, `name*0` and `name*1` as `name`. With an
 * encoded piece it is one value in that encoding, `name*`. Pieces that are not each there once are told as they stand.
 */
function joinPieces(parameters: readonly Parameter[]): readonly Parameter[] {
  if (!parameters.some(([name]) => piece.test(name))) return parameters
  const whole: Parameter[] = []
  const pieces = new Map<string, { at: number; isEncoded: boolean; given: Parameter }[]>()
  for (const given of parameters) {
    const [, name, at, asterisk] = piece.exec(given[0]) ?? []
    if (name === undefined) {
      whole.push(given)
      continue
    }
    const others = pieces.get(name.toLowerCase()) ?? []
    others.push({ at: Number(at), isEncoded: asterisk === '*', given })
    pieces.set(name.toLowerCase(), others)
  }
  for (const [name, found] of pieces) {
    const inOrder = found.toSorted((a, b) => a.at - b.at)
    if (inOrder.some(({ at }, index) => at !== index)) {
      whole.push(...found.map(({ given }) => given))
    } else if (inOrder.some(({ isEncoded }) => isEncoded)) {
      // Only the first one says charset and language.
      const start = inOrder[0]?.isEncoded === true ? '' : "''"
      const text = inOrder.map(({ isEncoded, given }) => (isEncoded ? given[1] : percentEncoded(given[1])))
      whole.push([`${name}*`, start + text.join('')])
    } else {
      whole.push([name, inOrder.map(({ given }) => given[1]).join('')])
    }
  }
  return whole
}

/** All but `attribute-char` of RFC 2231 section 7; a character is an octet here. */
function percentEncoded(text: string): string {
  return text.replaceAll(
    /[^!#$&+\-.0-9A-Z^_`a-z{|}~]/g,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`,
  )
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
