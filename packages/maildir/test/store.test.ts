import { describeMailStore } from './conformance.ts'
import { openTestStore } from './kit.ts'

describeMailStore('the Maildir store', openTestStore)
