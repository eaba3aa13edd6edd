/** Every pattern that stands for a name, the most specific first: itself, its domain, and each domain above that. */
export function* patternsOf(name: string): Iterable<string> {
  yield name
  const at = name.lastIndexOf('@')
  if (at === -1) return
  const domain = name.slice(at + 1)
  yield `@${domain}`
  for (let dot = domain.indexOf('.'); dot !== -1; dot = domain.indexOf('.', dot + 1)) yield `@${domain.slice(dot)}`
}
