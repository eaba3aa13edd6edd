import { expect, test } from 'vitest'
import { proxyErrors } from '@postern/core'

test('every code has one sentence for operators', () => {
  for (const [code, sentence] of Object.entries(proxyErrors)) {
    expect(code).toMatch(/^PROXY_[A-Z_0-9]+$/)
    expect(sentence).toMatch(/^[A-Z].*\.$/)
  }
})
