import { parseArgs } from 'node:util'
import { runParse } from './micro/run-parse.ts'

const usage = `usage: npm run bench -- parse [--rounds N] [--round-ms MS] [--json]

  parse   nanoseconds and allocated bytes for a PROXY header: ours, a floor written by hand, and the npm libraries,
          in turn in one run
`

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string', default: '15' },
    'round-ms': { type: 'string', default: '20' },
    json: { type: 'boolean', short: 'j', default: false },
  },
})

if (positionals[0] === 'parse') {
  const rounds = positiveInteger(values.rounds)
  const roundMs = positiveInteger(values['round-ms'])
  if (rounds !== undefined && roundMs !== undefined) {
    process.stdout.write(runParse({ rounds, roundMs, asJson: values.json }))
  } else {
    process.stderr.write(`--rounds and --round-ms take whole numbers from 1 to 10000\n${usage}`)
    process.exitCode = 2
  }
} else {
  process.stderr.write(usage)
  process.exitCode = 2
}

function positiveInteger(text: string): number | undefined {
  return /^[1-9]\d{0,3}$|^10000$/.test(text) ? Number(text) : undefined
}
