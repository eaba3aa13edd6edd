import { expect, test } from 'vitest'
import { residentBytes } from '../../src/observe/resident-memory.ts'

test('RS-01: memory that cannot be measured, for want of a descriptor, is what it was', () => {
  const measured = residentBytes()
  expect(measured).toBeGreaterThan(10_000_000)
  const withoutDescriptors = residentBytes(() => {
    throw Object.assign(new Error('EMFILE: too many open files, uv_resident_set_memory'), { code: 'EMFILE' })
  })
  expect(withoutDescriptors).toBe(measured)
})
