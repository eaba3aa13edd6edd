import { expect, test } from 'vitest'
import { isUsageError } from '../../src/command.ts'
import { parseCommandLine } from '../../src/cli/arguments.ts'
import { progressLine } from '../../src/cli/progress.ts'

const parse = (line: string): ReturnType<typeof parseCommandLine> => parseCommandLine(line.split(' '))

test('autocannon’s words', () => {
  expect(
    parse('smtp://127.0.0.1:2526 -c 100 -d 10 -p 4 -w 2 -R 1000 -t 5 -j -l --renderStatusCodes --proxy v2'),
  ).toEqual({
    load: {
      url: 'smtp://127.0.0.1:2526',
      mode: 'connect',
      connections: 100,
      duration: 10,
      pipelining: 4,
      workers: 2,
      overallRate: 1_000,
      timeout: 5,
      proxy: 'v2',
      starttls: false,
      reconnect: false,
    },
    json: true,
    latency: true,
    renderStatusCodes: true,
    progress: true,
  })
})

test('a mix of IMAP commands', () => {
  expect(parse('-m imap --mix fetch-body,append --append-to Sent imap://a:b@localhost')).toMatchObject({
    load: { mix: ['fetch-body', 'append'], appendTo: 'Sent' },
  })
})

test('a server to start', () => {
  expect(parse('--on-port smtp://localhost -- node server.js -x')).toMatchObject({
    onPort: ['node', 'server.js', '-x'],
  })
})

test('headers in this process, without a server', () => {
  expect(parse('-m parse --rounds 31 --json')).toEqual({ parse: ['--rounds', '31', '--json'] })
  expect(() => parse('-m parse smtp://localhost')).toThrow('mode parse takes no URL')
})

test('help asks for nothing', () => {
  expect(parse('-h')).toBeUndefined()
})

test.each([
  '-c 10',
  '-c ten smtp://x',
  '-c -1 smtp://x',
  '--proxy v3 smtp://x',
  '-m fast smtp://x',
  '--mix fetch smtp://x',
  '--unknown smtp://x',
  'smtp://x smtp://y',
  '--on-port smtp://x',
  '--script /nonexistent/script smtp://x',
])('%s is a wrong command line', (line) => {
  let error: unknown
  try {
    parse(line)
  } catch (thrown) {
    error = thrown
  }
  expect(isUsageError(error)).toBe(true)
})

test('the progress bar is never wider than the terminal', () => {
  const progress = { part: 0.5, operations: 12_345, perSecond: 2_469.2, errors: 3, unit: 'messages' }
  expect(progressLine(progress, 120)).toBe(
    'Running [===========>            ] 50 %  12,345 messages, 2,469/s, 3 failed',
  )
  expect(progressLine(progress, 40)).toHaveLength(39)
  expect(progressLine({ ...progress, part: 2 }, 120)).toContain('[=======================>]')
})
