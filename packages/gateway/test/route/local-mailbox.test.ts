import { expect, test } from 'vitest'
import { splitMailbox } from '../../src/route/local-mailbox.ts'

test.each([
  ['a name', 'Ann@Example.ORG', 'Ann', 'example.org'],
  ['one in letters of its own', 'ann@BÜCHER.example', 'ann', 'xn--bcher-kva.example'],
  ['an @ in quotes', '"ann@home"@example.org', '"ann@home"', 'example.org'],
  // Those that are no domain are not one and the same.
  ['one that is no domain', 'ann@XN--É.example', 'ann', 'xn--é.example'],
])('the two parts of a mailbox: %s', (_, mailbox, localPart, domain) => {
  expect(splitMailbox(mailbox)).toEqual({ localPart, domain })
})
