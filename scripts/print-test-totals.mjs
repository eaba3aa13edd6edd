// Prints `tests: N passed, N failed` from the file that vitest's JSON reporter wrote: node print-test-totals.mjs FILE.
// A test file that could not even be loaded has no failed test in it, and is counted as one.
import { readFileSync } from 'node:fs'

const results = JSON.parse(readFileSync(process.argv[2], 'utf8'))
const unloadable = results.testResults.filter((file) => file.status === 'failed' && file.assertionResults.length === 0)
const failed = results.numFailedTests + unloadable.length
console.log(`tests: ${results.numPassedTests} passed, ${failed} failed`)
