import { exitStatus } from './cli/exit-status.ts'
import { nodeTooOld } from './cli/node-version.ts'

/** Whoever reads our output may go away (`postern … | head`): that ends the command, and is no error. */
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error
  process.exit()
})

const refusal = nodeTooOld(process.versions.node)
if (refusal === undefined) {
  // Only now: an older Node fails to load it.
  const { runCommandLine } = await import('./cli/program.ts')
  process.exitCode = await runCommandLine(process.argv.slice(2), {
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    cwd: process.cwd(),
  })
} else {
  process.stderr.write(`${refusal}\n`)
  process.exitCode = exitStatus.internal
}
