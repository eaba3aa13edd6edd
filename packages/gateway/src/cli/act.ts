import { Command } from 'commander'
import type { ReloadOutcome } from '../admin/endpoint.ts'
import { AdminClient, withAdminOptions, type AdminOptions } from './admin-client.ts'
import { exitStatus } from './exit-status.ts'
import { problemText } from './problem-text.ts'
import { print, type Terminal } from './terminal.ts'

export function reloadCommand(terminal: Terminal, finish: (status: number) => void): Command {
  return withTokenOption(
    withAdminOptions(
      new Command('reload')
        .summary('make the running gateway read its configuration again')
        .description(
          'Makes the running gateway read its configuration, certificates included, and waits until every worker runs with it. A configuration with problems changes nothing, and they are told.',
        ),
    ),
  )
    .addHelpText('after', '\nExit status: 0 when it is in force, 1 when nothing changed.')
    .action(async (options: AdminOptions) => finish(await reload(terminal, options)))
}

export function drainCommand(terminal: Terminal, finish: (status: number) => void): Command {
  return withTokenOption(
    withAdminOptions(
      new Command('drain')
        .summary('take the running gateway out of service, and stop it')
        .description(
          'Health checks fail at once. After limits.drain-notice, when balancers have turned to others, no connection is taken any more, sessions finish what is under way, and the gateway ends.',
        ),
    ),
  )
    .option('--no-wait', 'do not wait until it has ended')
    .addHelpText('after', '\nExit status: 0 when it leaves, or with waiting when it has ended.')
    .action(async (options: AdminOptions & { readonly wait: boolean }) => finish(await drain(terminal, options)))
}

function withTokenOption(command: Command): Command {
  return command.option('--token-file <file>', 'a file with the token, when another one than [admin] names')
}

async function reload(terminal: Terminal, options: AdminOptions): Promise<number> {
  const client = await AdminClient.find(terminal, options)
  const { body } = await client.post('/reload')
  const came = body as ReloadOutcome
  if (came.outcome === 'refused') {
    const text = came.problems.map((problem) => problemText(problem, terminal.cwd)).join('')
    await print(terminal.stdout, `${text}nothing changed: the configuration has problems\n`)
  } else {
    await print(terminal.stdout, `${sentences[came.outcome] ?? 'an answer of another version'}\n`)
  }
  return came.outcome === 'done' ? exitStatus.ok : exitStatus.wrong
}

const sentences: Readonly<Record<string, string>> = {
  done: 'every worker runs with the new configuration',
  failed: 'nothing changed: a successor of a worker did not start, and the log says why',
  stopping: 'nothing changed: the gateway is about to stop',
}

async function drain(terminal: Terminal, options: AdminOptions & { readonly wait: boolean }): Promise<number> {
  const client = await AdminClient.find(terminal, options)
  const { body } = await client.post('/drain')
  const { withinMs } = body as { readonly withinMs: number }
  await print(terminal.stdout, `leaving: health checks fail; it ends within ${Math.ceil(withinMs / 1000)} s\n`)
  if (options.wait) await client.gone()
  return exitStatus.ok
}
