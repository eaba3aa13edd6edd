import type { Policy } from '@postern/core'
import { expect, test } from 'vitest'
import { signedIn } from '../dialogue.ts'

/** Lets so many pass. */
function counting(most: number, verdict: 'defer' | 'drop' = 'defer') {
  const verbs: string[] = []
  const counts: Policy = {
    name: 'counts',
    onCommand: ({ verb }) => {
      verbs.push(verb)
      return verbs.length <= most
        ? { verdict: 'pass' }
        : { verdict, reason: 'rate', reply: { text: 'Too many commands' } }
    },
  }
  return { verbs, policies: [counts] }
}

test.each([
  ['defer', '* BYE [UNAVAILABLE] imap.example Too many commands\r\n'],
  ['drop', ''],
] as const)('%s: the session ends at the command, and nothing behind it is looked at', async (verdict, said) => {
  const { verbs, policies } = counting(3, verdict)
  const session = await signedIn({ policies })
  const answer = await session.ask('a NOOP\r\nb OOPS\r\nc NOOP\r\nd NOOP')
  expect(answer).toMatch(/^a OK .*\r\nb BAD .*\r\n/)
  expect(answer.endsWith(said)).toBe(true)
  expect(answer).not.toMatch(/^[cd] /m)
  expect(session.closed).toBe('refused')
  expect(verbs).toEqual(['LOGIN', 'NOOP', 'UNKNOWN', 'NOOP'])
})

test('counts a command once, whatever literals and lines belong to it', async () => {
  const { verbs, policies } = counting(100)
  const session = await signedIn({ policies })
  await session.ask('a CREATE {3}')
  await session.ask('Box')
  await session.ask('b APPEND {3}')
  await session.ask('Box {5}')
  await session.ask('Hello')
  await session.ask('c IDLE')
  await session.ask('DONE')
  await session.ask('d NOOP')
  expect(verbs).toEqual(['LOGIN', 'CREATE', 'APPEND', 'IDLE', 'NOOP'])
})

test('a refused literal is one command, and the next one is asked about', async () => {
  const { verbs, policies } = counting(100)
  const session = await signedIn({ policies })
  expect(await session.ask('a CREATE {100000000}')).toMatch(/^a NO \[TOOBIG\]/)
  await session.ask('b NOOP')
  expect(verbs).toEqual(['LOGIN', 'CREATE', 'NOOP'])
})
