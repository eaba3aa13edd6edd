import { inspect } from 'node:util'
import { expect, test } from 'vitest'
import { secret } from '@postern/core'

test('a secret shows itself only when asked', () => {
  const password = secret('hunter2')
  expect(password.reveal()).toBe('hunter2')
  for (const shown of [[password].join(), JSON.stringify({ password }), inspect({ password })]) {
    expect(shown).toContain('[secret]')
    expect(shown).not.toContain('hunter2')
  }
})
