import { resolve } from 'node:path'
import { Command } from 'commander'
import type { Status } from '../admin/status.ts'
import { loadConfig } from '../config/load.ts'
import { examine } from '../doctor/examine.ts'
import { AdminClient } from './admin-client.ts'
import { checkUpstreams } from './check-upstreams.ts'
import { exitStatus } from './exit-status.ts'
import { problemText, warningText } from './problem-text.ts'
import { print, type Terminal } from './terminal.ts'

interface DoctorOptions {
  readonly config: string
  readonly recipient: string
}

export function doctorCommand(terminal: Terminal, finish: (status: number) => void): Command {
  return new Command('doctor')
    .summary('look at all that a gateway depends on, and say what to change')
    .description(
      'Walks through the configuration and what it depends on: certificates, ports, the name in the DNS, backends, the data directory, open files, the queue of the kernel, the clock, and what a running gateway tells of itself.',
    )
    .requiredOption('-c, --config <file>', 'the configuration file')
    .option('--recipient <address>', 'whose mail the backends take, as in `check --upstreams`', 'postmaster')
    .addHelpText('after', '\nExit status: 0 when nothing is wrong, 1 when something is.')
    .action(async (options: DoctorOptions) => finish(await doctor(terminal, options)))
}

async function doctor(terminal: Terminal, { config: file, recipient }: DoctorOptions): Promise<number> {
  const outcome = await loadConfig(resolve(terminal.cwd, file))
  if (!outcome.ok) {
    await print(terminal.stdout, outcome.problems.map((problem) => problemText(problem, terminal.cwd)).join(''))
    return exitStatus.wrong
  }
  const { config, warnings } = outcome
  await print(terminal.stdout, warnings.map((warning) => warningText(warning, terminal.cwd)).join(''))
  const findings = await examine(config, await running(terminal, file))
  const lines = findings.map(({ verdict, about, text }) => `${marks[verdict]} ${about}: ${text}\n`)
  await print(terminal.stdout, lines.join(''))
  const isAnyWrong = findings.some(({ verdict }) => verdict === 'wrong')
  if (config.live.upstreams.length === 0) return isAnyWrong ? exitStatus.wrong : exitStatus.ok
  const { text, areAllUsable } = await checkUpstreams(config.live, { recipient })
  await print(terminal.stdout, text)
  return isAnyWrong || !areAllUsable ? exitStatus.wrong : exitStatus.ok
}

const marks = { ok: 'ok    ', advice: 'advice', wrong: 'WRONG ' } as const

/** Nobody runs, or cannot be asked: the rest is looked at all the same. */
async function running(terminal: Terminal, config: string): Promise<Status | undefined> {
  try {
    const client = await AdminClient.find(terminal, { config })
    return (await client.get('/status')) as Status
  } catch {
    return undefined
  }
}
