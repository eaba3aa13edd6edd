import { expect, test } from 'vitest'
import { newConnectionId } from '@postern/core'

test('S14: ids are of sixteen characters that every log, reply and header takes, and never the same', () => {
  const ids = Array.from({ length: 1_000 }, () => newConnectionId())
  expect(ids.filter((id) => !/^[0-9a-v]{16}$/.test(id))).toEqual([])
  expect(new Set(ids).size).toBe(1_000)
})
