import { vi } from 'vitest'
import { describeMailStore } from './conformance.ts'
import { openTestStore } from './kit.ts'

// The disk of a busy machine is slow; no test waits for a time to pass.
vi.setConfig({ testTimeout: 60_000 })

describeMailStore('the Maildir store', openTestStore)
