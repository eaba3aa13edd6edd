/* Ways to cut what a client sends into segments: TCP keeps no borders. */

/** Cuts at these places, taken modulo the length. */
export function cutAt(text: string, at: readonly number[]): string[] {
  const places = [...new Set(at.map((place) => place % (text.length + 1)))].sort((a, b) => a - b)
  return [...places, text.length].map((end, index) => text.slice(places[index - 1] ?? 0, end))
}

/** Whole, byte by byte, and in two at every place. */
export function everyCut(text: string): string[][] {
  const inTwo = Array.from({ length: text.length - 1 }, (_, index) => [text.slice(0, index + 1), text.slice(index + 1)])
  return [[text], text.split(''), ...inTwo]
}
