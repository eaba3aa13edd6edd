import { isUsageError, UsageError, type Command } from './command.ts'
import { admin } from './commands/admin.ts'
import { guardRatios } from './commands/check.ts'
import { compare } from './commands/compare.ts'
import { connection } from './commands/connection.ts'
import { design } from './commands/design.ts'
import { guard } from './commands/guard.ts'
import { imap } from './commands/imap.ts'
import { parse } from './commands/parse.ts'
import { relay } from './commands/relay.ts'
import { report } from './commands/report.ts'
import { scaling } from './commands/scaling.ts'
import { smtp } from './commands/smtp.ts'
import { validate } from './commands/validate.ts'

const commands: Readonly<Record<string, Command>> = {
  parse,
  connection,
  smtp,
  imap,
  relay,
  compare,
  design,
  scaling,
  admin,
  validate,
  report,
  guard,
  check: guardRatios,
}

const [name = '', ...args] = process.argv.slice(2)
const command = Object.hasOwn(commands, name) ? commands[name] : undefined
try {
  if (command === undefined) throw new UsageError(`there is no benchmark ${JSON.stringify(name)}`)
  process.exitCode = await command.run(args)
} catch (error) {
  if (!isUsageError(error)) throw error
  process.stderr.write(`${error.message}\n\n${usage()}`)
  process.exitCode = 2
}

function usage(): string {
  const lines = Object.entries(commands).map(
    ([each, { options, summary }]) => `  npm run bench -- ${each} ${options}\n      ${summary}\n`,
  )
  return `usage:\n${lines.join('')}`
}
