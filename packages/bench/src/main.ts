import { UsageError, type Command } from './command.ts'
import { connection } from './commands/connection.ts'
import { guard } from './commands/guard.ts'
import { parse } from './commands/parse.ts'

const commands: Readonly<Record<string, Command>> = { parse, connection, guard }

const [name = '', ...args] = process.argv.slice(2)
const command = Object.hasOwn(commands, name) ? commands[name] : undefined
try {
  if (command === undefined) throw new UsageError(`there is no benchmark ${JSON.stringify(name)}`)
  process.exitCode = await command.run(args)
} catch (error) {
  if (!isUsage(error)) throw error
  process.stderr.write(`${error.message}\n\n${usage()}`)
  process.exitCode = 2
}

function usage(): string {
  const lines = Object.entries(commands).map(
    ([each, { options, summary }]) => `  npm run bench -- ${each} ${options}\n      ${summary}\n`,
  )
  return `usage:\n${lines.join('')}`
}

function isUsage(error: unknown): error is Error {
  return error instanceof UsageError || String((error as { code?: unknown }).code).startsWith('ERR_PARSE_ARGS_')
}
