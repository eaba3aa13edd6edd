import { foldDomain } from './local-mailbox.ts'

/** `Ann@BÜCHER.example` is `ann@xn--bcher-kva.example`; of `@.bücher.example` the dot stays. */
export function foldAddress(text: string): string {
  const at = text.lastIndexOf('@')
  const local = text.slice(0, at + 1).toLowerCase()
  const domain = text.slice(at + 1)
  const dot = domain.startsWith('.') ? '.' : ''
  return local + dot + foldDomain(domain.slice(dot.length))
}

/** Every pattern that stands for a name, the most specific first: itself, its domain, and each domain above that. */
export function* patternsOf(name: string): Iterable<string> {
  yield name
  const at = name.lastIndexOf('@')
  if (at === -1) return
  for (const pattern of domainPatternsOf(name.slice(at + 1))) yield `@${pattern}`
}

/** The same for a domain: itself, and `.example.org` for each domain above. */
export function* domainPatternsOf(domain: string): Iterable<string> {
  yield domain
  for (let dot = domain.indexOf('.'); dot !== -1; dot = domain.indexOf('.', dot + 1)) yield domain.slice(dot)
}
