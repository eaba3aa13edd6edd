import { expect, test } from 'vitest'
import { nodeTooOld } from '../../src/cli/node-version.ts'

test.each(['20.20.2', '22.99.0', '24.20.9', '25.9.0', '26.3.1'])('Node %s is refused with what it takes', (version) => {
  expect(nodeTooOld(version)).toContain(`this is Node ${version}; it takes Node 24 from 24.21`)
})

test.each(['24.21.0', '24.99.1', '26.4.0', '26.10.0', '27.0.0'])('Node %s will do', (version) => {
  expect(nodeTooOld(version)).toBeUndefined()
})
