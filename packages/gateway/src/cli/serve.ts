import { join, resolve } from 'node:path'
import { Command } from 'commander'
import { defaultConfigText, defaultDataDir } from '../config/default-config.ts'
import { loadConfig, parseConfig } from '../config/load.ts'
import { reasonOf } from '../config/read-file.ts'
import type { ConfigOutcome } from '../config/schema.ts'
import { serve } from '../supervisor/serve.ts'
import { exitStatus } from './exit-status.ts'
import { prepareFirstStart } from './first-start.ts'
import { problemText, warningText } from './problem-text.ts'
import { CommandFailure, type Terminal } from './terminal.ts'
import { tryItText } from './try-it-text.ts'

export function serveCommand(terminal: Terminal, finish: (status: number) => void): Command {
  return new Command('serve')
    .summary('run the gateway')
    .description(
      `Runs the gateway until it is told to stop. Without a configuration file it listens on loopback only, and keeps its data under ${defaultDataDir}/ in the current directory. SIGTERM stops it gracefully, SIGHUP makes it read its configuration again. The log goes to standard output, a JSON object a line.`,
    )
    .option('-c, --config <file>', 'the configuration file')
    .addHelpText(
      'after',
      '\nExit status: 0 after a graceful stop, 1 when it could not run, 78 when the configuration cannot be used.',
    )
    .action(async ({ config }: { readonly config?: string }) => finish(await start(terminal, config)))
}

async function start(terminal: Terminal, file: string | undefined): Promise<number> {
  const dataDir = resolve(terminal.cwd, defaultDataDir)
  if (file === undefined) {
    try {
      await prepareFirstStart(dataDir)
    } catch (error) {
      throw new CommandFailure(exitStatus.io, `${dataDir} cannot be made ready: ${reasonOf(error)}`)
    }
  }
  const readConfig = file === undefined ? () => readDefaults(dataDir) : () => loadConfig(resolve(terminal.cwd, file))
  const outcome = await readConfig()
  if (!outcome.ok) {
    for (const problem of outcome.problems) terminal.stderr.write(problemText(problem, terminal.cwd))
    return exitStatus.config
  }
  const { config, warnings } = outcome
  for (const warning of warnings) terminal.stderr.write(warningText(warning, terminal.cwd))
  const onReady = (): void => void (file === undefined && terminal.stderr.write(tryItText(dataDir)))
  return serve({ config, warnings, readConfig, onReady })
}

function readDefaults(dataDir: string): Promise<ConfigOutcome> {
  return parseConfig(defaultConfigText, { file: join(dataDir, 'built-in defaults'), baseDir: dataDir })
}
