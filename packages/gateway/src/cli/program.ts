import { readFileSync } from 'node:fs'
import { Command, CommanderError } from 'commander'
import { exitStatus } from './exit-status.ts'
import { CommandFailure, type Terminal } from './terminal.ts'

type MakeCommand = (terminal: Terminal, finish: (status: number) => void) => Command

/**
 * In the order of the help. Each is loaded when it is asked for: `inspect` in a shell loop should not wait for a daemon's
 * libraries.
 */
const commands: ReadonlyMap<string, () => Promise<MakeCommand>> = new Map([
  ['serve', async () => (await import('./serve.ts')).serveCommand],
  ['check', async () => (await import('./check.ts')).checkCommand],
  ['inspect', async () => (await import('./inspect.ts')).inspectCommand],
  ['probe', async () => (await import('./probe.ts')).probeCommand],
  ['doctor', async () => (await import('./doctor.ts')).doctorCommand],
  ['logs', async () => (await import('./logs.ts')).logsCommand],
  ['status', async () => (await import('./status.ts')).statusCommand],
  ['reload', async () => (await import('./act.ts')).reloadCommand],
  ['drain', async () => (await import('./act.ts')).drainCommand],
  ['user', async () => (await import('./user.ts')).userCommand],
  ['balancer', async () => (await import('./balancer.ts')).balancerCommand],
])

/**
 * Runs one command line and gives its exit status. What can be expected to go wrong is a sentence on standard error;
 * anything else is a bug and is thrown.
 *
 * @param args - without the program and its file.
 */
export async function runCommandLine(args: readonly string[], terminal: Terminal): Promise<number> {
  let status: number = exitStatus.ok
  const finish = (given: number): void => {
    status = given
  }
  const program = new Command('postern')
    .description('A gateway for SMTP and IMAP that knows its clients behind balancers by the PROXY protocol.')
    .version(ownVersion(), '-V, --version', 'print the version')
    .showHelpAfterError('(see --help)')
  const named = commands.get(args[0] ?? '')
  for (const load of named === undefined ? commands.values() : [named]) {
    program.addCommand((await load())(terminal, finish))
  }
  for (const command of [program, ...program.commands.flatMap((child) => [child, ...child.commands])]) {
    command.exitOverride().configureOutput({
      writeOut: (text) => void terminal.stdout.write(text),
      writeErr: (text) => void terminal.stderr.write(text),
    })
  }
  try {
    await program.parseAsync(args, { from: 'user' })
    return status
  } catch (error) {
    // Commander has told on standard error what is wrong; asking for help is not wrong.
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitStatus.ok : exitStatus.usage
    if (!(error instanceof CommandFailure)) throw error
    terminal.stderr.write(`postern: ${error.message}\n`)
    return error.status
  }
}

function ownVersion(): string {
  const manifest = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
  return (JSON.parse(manifest) as { readonly version: string }).version
}
