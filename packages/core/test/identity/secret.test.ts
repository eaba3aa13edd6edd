import { inspect } from 'node:util'
import { expect, test } from 'vitest'
import { secret } from '@postern/core'

test('a secret shows itself only when asked', () => {
  const password = secret('hunter2')
  expect(password.reveal()).toBe('hunter2')
  // oxlint-disable-next-line typescript/no-base-to-string -- that this happens by mistake is what is tested
  for (const shown of [String(password), JSON.stringify({ password }), inspect({ password })]) {
    expect(shown).toContain('[secret]')
    expect(shown).not.toContain('hunter2')
  }
})
