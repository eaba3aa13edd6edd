import { resolve } from 'node:path'
import { Command } from 'commander'
import { formatBindAddress } from '../config/bind-address.ts'
import { loadConfig } from '../config/load.ts'
import type { Config } from '../config/schema.ts'
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
    .addHelpText('after', '\nExit status: 0 when it can be used, 1 when not.')
    .action(async ({ config }: { readonly config: string }) => finish(await check(terminal, config)))
}

async function check(terminal: Terminal, file: string): Promise<number> {
  const outcome = await loadConfig(resolve(terminal.cwd, file))
  if (!outcome.ok) {
    const text = outcome.problems.map((problem) => problemText(problem, terminal.cwd)).join('')
    const count = outcome.problems.length === 1 ? '1 problem' : `${outcome.problems.length} problems`
    await print(terminal.stdout, `${text}${count}\n`)
    return exitStatus.wrong
  }
  const warnings = outcome.warnings.map((warning) => warningText(warning, terminal.cwd)).join('')
  await print(terminal.stdout, `${warnings}${summaryOf(outcome.config)}`)
  return exitStatus.ok
}

/** What the file comes to, so that a reader can compare it with what was meant. */
function summaryOf({ start, live }: Config): string {
  const listeners = start.listeners.map(({ name, protocol, tls, bind }) => {
    const proxy = live.listeners.find((one) => one.name === name)?.proxy
    const header =
      proxy === undefined || proxy.mode === 'off' ? 'off' : `${proxy.mode} from ${proxy.trustedNetworks.join(', ')}`
    return `  ${name}: ${protocol} on ${bind.map(formatBindAddress).join(', ')}; TLS ${tls}; PROXY header ${header}\n`
  })
  return `the configuration can be used: ${live.hostname}, ${start.workers} workers\n${listeners.join('')}`
}
