import { resolve } from 'node:path'
import { Command } from 'commander'
import { formatBindAddress } from '../config/bind-address.ts'
import { loadConfig } from '../config/load.ts'
import type { Config } from '../config/schema.ts'
import { checkUpstreams } from './check-upstreams.ts'
import { exitStatus } from './exit-status.ts'
import { problemText, warningText } from './problem-text.ts'
import { print, type Terminal } from './terminal.ts'

export function checkCommand(terminal: Terminal, finish: (status: number) => void): Command {
  return new Command('check')
    .summary('check a configuration file')
    .description(
      'Reads a configuration and all files it names, and tells everything that is wrong, each with its line.',
    )
    .requiredOption('-c, --config <file>', 'the configuration file')
    .option('--upstreams', 'also connect to each backend and tell what it offers')
    .option('--recipient <address>', 'whose mail the backends take, to try bare line feeds', 'postmaster')
    .addHelpText(
      'after',
      `
With --upstreams each SMTP and LMTP backend is tried with a message that cannot arrive: its end is never sent, it has 200
Received fields, so that it is refused as a loop, and no sender who could get a report.

Exit status: 0 when it can be used, and so can every backend that was asked; 1 when not.`,
    )
    .action(async (options: CheckOptions) => finish(await check(terminal, options)))
}

interface CheckOptions {
  readonly config: string
  readonly upstreams?: boolean
  readonly recipient: string
}

async function check(terminal: Terminal, { config: file, upstreams, recipient }: CheckOptions): Promise<number> {
  const outcome = await loadConfig(resolve(terminal.cwd, file))
  if (!outcome.ok) {
    const text = outcome.problems.map((problem) => problemText(problem, terminal.cwd)).join('')
    const count = outcome.problems.length === 1 ? '1 problem' : `${outcome.problems.length} problems`
    await print(terminal.stdout, `${text}${count}\n`)
    return exitStatus.wrong
  }
  const warnings = outcome.warnings.map((warning) => warningText(warning, terminal.cwd)).join('')
  await print(terminal.stdout, `${warnings}${summaryOf(outcome.config)}`)
  if (upstreams !== true) return exitStatus.ok
  const { text, areAllUsable } = await checkUpstreams(outcome.config.live, { recipient })
  await print(terminal.stdout, text)
  return areAllUsable ? exitStatus.ok : exitStatus.wrong
}

/** What the file comes to, so that a reader can compare it with what was meant. */
function summaryOf({ start, live }: Config): string {
  const listeners = start.listeners.map(({ name, protocol, tls, bind }) => {
    const proxy = live.listeners.find((one) => one.name === name)?.proxy
    const header =
      proxy === undefined || proxy.mode === 'off' ? 'off' : `${proxy.mode} from ${proxy.trustedNetworks.join(', ')}`
    return `  ${name}: ${protocol} on ${bind.map(formatBindAddress).join(', ')}; TLS ${tls}; PROXY header ${header}\n`
  })
  const workers = start.workers === 1 ? '1 worker' : `${start.workers} workers`
  return `the configuration can be used: ${live.hostname}, ${workers}\n${listeners.join('')}`
}
